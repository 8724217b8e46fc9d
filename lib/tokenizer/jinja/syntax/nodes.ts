/** A parsed template: statements and expressions, named as Jinja2 names them. */
import type { BinaryOperator } from '../values/arithmetic.js';
import type { Value } from '../values/values.js';

/** What stands in parentheses behind a call, a filter or a test. */
export interface CallArguments {
  readonly positional: readonly Expression[];
  readonly named: readonly (readonly [name: string, value: Expression])[];
  /** Behind `*`. */
  readonly spread: Expression | null;
  /** Behind `**`. */
  readonly namedSpread: Expression | null;
}

/** One `|name(…)`. */
export interface FilterCall {
  readonly name: string;
  readonly args: CallArguments;
}

/** Operators that compare. */
export type ComparisonOperator = '==' | '!=' | '<' | '<=' | '>' | '>=' | 'in' | 'not in';

/** What has a value. */
export type Expression =
  | { readonly kind: 'constant'; readonly value: Value }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'list' | 'tuple'; readonly items: readonly Expression[] }
  | { readonly kind: 'dict'; readonly pairs: readonly (readonly [Expression, Expression])[] }
  | { readonly kind: 'attribute'; readonly object: Expression; readonly name: string }
  | { readonly kind: 'item'; readonly object: Expression; readonly index: Expression }
  | { readonly kind: 'slice'; readonly parts: readonly [Expression | null, Expression | null, Expression | null] }
  | { readonly kind: 'call'; readonly callee: Expression; readonly args: CallArguments }
  | { readonly kind: 'filter'; readonly object: Expression; readonly filter: FilterCall }
  | { readonly kind: 'test'; readonly object: Expression; readonly name: string; readonly args: CallArguments }
  | { readonly kind: 'not' | 'negative' | 'positive'; readonly operand: Expression }
  | { readonly kind: 'and' | 'or'; readonly left: Expression; readonly right: Expression }
  | {
      readonly kind: 'binary';
      readonly operator: BinaryOperator;
      readonly left: Expression;
      readonly right: Expression;
    }
  | { readonly kind: 'concat'; readonly parts: readonly Expression[] }
  | {
      readonly kind: 'compare';
      readonly first: Expression;
      readonly rest: readonly (readonly [ComparisonOperator, Expression])[];
    }
  | {
      readonly kind: 'conditional';
      readonly test: Expression;
      readonly then: Expression;
      readonly otherwise: Expression | null;
    };

/** What can be assigned to. */
export type Target =
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'namespace'; readonly name: string; readonly attribute: string }
  | { readonly kind: 'targets'; readonly items: readonly Target[] };

/** Parameters of a macro or a call block, some with defaults, the last ones. */
export type Signature = readonly { readonly name: string; readonly fallback: Expression | null }[];

/** What is called: a macro's, or a call block's for the macro that it calls. */
export interface MacroParts {
  readonly signature: Signature;
  readonly body: Body;
  /** Those of `varargs`, `kwargs` and `caller` that stand in the body. */
  readonly specialNames: ReadonlySet<string>;
}

/** What is done. */
export type Statement = { readonly line: number } & (
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'print'; readonly values: readonly Expression[] }
  | { readonly kind: 'set'; readonly target: Target; readonly value: Expression }
  | {
      readonly kind: 'set block';
      readonly target: Target;
      readonly filters: readonly FilterCall[];
      readonly body: Body;
    }
  | ForStatement
  | { readonly kind: 'if'; readonly branches: readonly (readonly [Expression, Body])[]; readonly otherwise: Body }
  | { readonly kind: 'with'; readonly pairs: readonly (readonly [Target, Expression])[]; readonly body: Body }
  | ({ readonly kind: 'macro'; readonly name: string } & MacroParts)
  | ({ readonly kind: 'call block'; readonly call: Extract<Expression, { kind: 'call' }> } & MacroParts)
  | { readonly kind: 'filter block'; readonly filters: readonly FilterCall[]; readonly body: Body }
  | { readonly kind: 'generation'; readonly body: Body }
  | { readonly kind: 'break' | 'continue' }
);

/** Statements in order. */
export type Body = readonly Statement[];

/** A loop. */
export interface ForStatement {
  readonly kind: 'for';
  readonly target: Target;
  readonly iterable: Expression;
  /** Items for which it is false are left out, and not counted. */
  readonly test: Expression | null;
  readonly isRecursive: boolean;
  readonly body: Body;
  readonly otherwise: Body;
}
