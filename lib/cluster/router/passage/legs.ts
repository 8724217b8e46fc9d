/** The legs of one request: sent, counted, and left. */
import type { RouteLeg } from '../../base/routed_request.js';
import type { Asked, Fields } from './asked.js';
import type { Dispatch } from './dispatch.js';
import type { Leg } from './leg.js';
import type { StoryTeller } from './story_teller.js';

/** What they take. */
export interface LegsParts {
  readonly asked: Asked;
  readonly dispatch: Dispatch;
  readonly story: StoryTeller;
}

/** The first leg. */
export interface FirstLeg {
  readonly leg: Leg;
  /** Where the request goes on behind its prompt; null: where it is. */
  readonly decode: string | null;
}

/** Of one request. */
export class Legs {
  constructor(private readonly parts: LegsParts) {}

  /** Begins. @throws ApiError NO_INSTANCE, OVERLOADED */
  first(): FirstLeg {
    const { dispatch, asked } = this.parts;
    const route = dispatch.route('whole');
    if (route.kind === 'whole') return { leg: this.send(route.instance, 'whole', {}, 0), decode: null };
    const { prefill, decode } = route;
    if (!asked.canMove || asked.isClients) return { leg: this.send(decode, 'whole', {}, 0), decode: null };
    // Of a stream the router hears when the target may begin, whatever its client wants.
    const streamed = asked.isStream ? {} : { stream: true };
    const added = { kv_transfer_params: { do_remote_decode: true }, ...streamed };
    return { leg: this.send(prefill, 'prefill', added, 0), decode };
  }

  /** Goes on at an instance. @throws ClusterError INSTANCE_LOST */
  goOnAt(instance: string, added: Fields, position: number): Leg {
    return this.send(instance, 'decode', added, position);
  }

  /** Goes on where there is room. @throws ApiError NO_INSTANCE, OVERLOADED; ClusterError INSTANCE_LOST */
  goOn(added: Fields, position: number): Leg {
    const route = this.parts.dispatch.route('decode');
    return this.goOnAt(route.kind === 'whole' ? route.instance : route.decode, added, position);
  }

  /** Nothing more comes of one: it said so itself, or nobody wants it any more. Idempotent. */
  over(leg: Leg, end: 'complete' | 'ended' | 'left'): void {
    if (end === 'left') leg.leave();
    else leg.letEnd();
    const { story } = this.parts;
    const isComplete = end === 'complete';
    if (isComplete && leg.numWhole !== null) story.toldWhole(leg.numWhole);
    leg.sent?.ended({ numOutputTokens: leg.numOutputTokens, isComplete }, story.now());
  }

  private send(instance: string, kind: RouteLeg, added: Fields, position: number): Leg {
    const { story, dispatch } = this.parts;
    const leg = dispatch.send({ instance, leg: kind, added, position });
    story.sentTo(instance);
    const { numPromptTokens } = dispatch;
    if (kind !== 'decode' && leg.sent !== null) {
      story.placed(numPromptTokens, numPromptTokens - leg.sent.numTokensToCompute);
    }
    return leg;
  }
}
