/** What is used of WebGPU here, as Dawn's package for Node offers it. Types of its own would come with a package that may not be installed. */

/** `create` takes flags `key=value`. What it returns must outlive every device made of it: Dawn crashes otherwise. */
export interface Dawn {
  readonly create: (flags: readonly string[]) => Gpu;
  /** Classes and constants that WebGPU code finds in the global scope. */
  readonly globals: object;
}

export interface Gpu {
  requestAdapter(options?: { readonly powerPreference: 'high-performance' }): Promise<GpuAdapter | null>;
}

export interface GpuAdapter {
  readonly info: GpuAdapterInfo;
  readonly limits: GpuLimits;
  requestDevice(options: { readonly requiredLimits: Partial<GpuLimits> }): Promise<GpuDevice>;
}

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

export interface GpuDevice {
  readonly limits: GpuLimits;
  readonly lost: Promise<{ readonly reason: string; readonly message: string }>;
  onuncapturederror: ((event: GpuErrorEvent) => void) | null;
  destroy(): void;
}

export interface GpuErrorEvent {
  readonly error: { readonly message: string };
  /** Keeps Dawn from printing the error itself. */
  preventDefault(): void;
}

export interface GpuBuffer {
  readonly size: number;
  destroy(): void;
}
