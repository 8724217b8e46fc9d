/** What is used of WebGPU here, as Dawn's package for Node offers it. Types of its own would come with a package that may not be installed. */

/** `create` takes flags `key=value`. What it returns must outlive every device made of it: Dawn crashes otherwise. */
export interface Dawn {
  readonly create: (flags: readonly string[]) => Gpu;
  /** Classes and constants that WebGPU code finds in the global scope. */
  readonly globals: object;
}

/** What `navigator.gpu` is in a browser. */
export interface Gpu {
  /** The adapter that the system prefers, or with `powerPreference` the fastest; null where there is none. */
  requestAdapter(options?: { readonly powerPreference: 'high-performance' }): Promise<GpuAdapter | null>;
}

/** A GPU, or a program that stands in for one, before it is opened. */
export interface GpuAdapter {
  readonly info: GpuAdapterInfo;
  readonly limits: GpuLimits;
  /** Opens it. @throws Error where it can't give what a required limit asks for */
  requestDevice(options: { readonly requiredLimits: Partial<GpuLimits> }): Promise<GpuDevice>;
}

/** What the driver says of an adapter; texts may be empty. */
export interface GpuAdapterInfo {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  readonly isFallbackAdapter?: boolean;
}

/** Of an adapter's many limits those that matter here, in bytes or numbers. */
export interface GpuLimits {
  readonly maxStorageBufferBindingSize: number;
  readonly maxBufferSize: number;
  readonly maxStorageBuffersPerShaderStage: number;
  readonly maxComputeWorkgroupStorageSize: number;
  readonly maxComputeWorkgroupsPerDimension: number;
  readonly maxComputeWorkgroupSizeX: number;
  readonly maxComputeInvocationsPerWorkgroup: number;
}

/** An opened adapter. `lost` resolves once, when the device is destroyed or fails. */
export interface GpuDevice {
  readonly limits: GpuLimits;
  readonly lost: Promise<{ readonly reason: string; readonly message: string }>;
  onuncapturederror: ((event: GpuErrorEvent) => void) | null;
  /** Frees the device with all its buffers. */
  destroy(): void;
}

/** An error that no scope of WebGPU caught. */
export interface GpuErrorEvent {
  readonly error: { readonly message: string };
  /** Keeps Dawn from printing the error itself. */
  preventDefault(): void;
}

/** Memory of a device, in bytes. */
export interface GpuBuffer {
  readonly size: number;
  /** Frees the memory at once, not when the object is collected. */
  destroy(): void;
}
