/** Rows of a tile of 16 columns at most: 2 where vectors have 128 bits and no more fit into registers, 4 or more where two of them are joined. */
export let tileRows: i32 = 2;

/** 2, 4 or 6; changes the speed, no bits. */
export function setTile(numRows: i32): void {
  tileRows = numRows;
}
