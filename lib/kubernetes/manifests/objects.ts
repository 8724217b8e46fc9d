/** Objects of Kubernetes as they are sent and written: plain data, of which `test/data/kubernetes` has the schemas. */
import { stringify } from 'yaml';

/** A value of JSON. */
export type Value = null | boolean | number | string | readonly Value[] | { readonly [key: string]: Value };

/** What an object has beside its `spec`. */
export interface Metadata {
  readonly name: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** An object that an API server keeps. */
export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Metadata;
  readonly [key: string]: unknown;
}

/** Where an object stands: its name, and its namespace where one is said. */
export interface Place {
  /** Of the object and of what belongs to it: at most 40 small letters, digits and dashes, a letter first. */
  readonly name: string;
  /** Default: that of whoever applies it. */
  readonly namespace?: string | undefined;
}

/** Whether a name can be that of an object and of all that is named after it, hosts among them. */
export const isObjectName = (name: string): boolean => /^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$/.test(name);

/** Bytes as Kubernetes writes them. */
export const MEMORY = /^\d+(\.\d+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$/;

/** By which a Service finds pods, and people objects. */
export const labelsOf = ({ name }: Place): Readonly<Record<string, string>> => ({
  'app.kubernetes.io/name': 'expertwire',
  'app.kubernetes.io/instance': name,
});

/** Of an object of this place, whose name may have an ending. */
export const metadataOf = (place: Place, ending = ''): Metadata => ({
  name: `${place.name}${ending}`,
  ...(place.namespace !== undefined && { namespace: place.namespace }),
  labels: labelsOf(place),
});

/** A ConfigMap with one file. */
export const configMap = (place: Place, ending: string, file: string, text: string): KubernetesObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: metadataOf(place, ending),
  data: { [file]: text },
});

/** Its YAML is an old one, which takes `no` and `on` for booleans: texts of that kind are quoted. */
const YAML_OPTIONS = { version: '1.1', lineWidth: 0, aliasDuplicateObjects: false, singleQuote: true } as const;

/** As `kubectl apply -f` reads them. */
export const yamlOf = (objects: readonly KubernetesObject[], comment: readonly string[]): string => {
  const head = comment.map((line) => (line === '' ? '#\n' : `# ${line}\n`)).join('');
  return head + objects.map((each) => stringify(each, YAML_OPTIONS)).join('---\n');
};
