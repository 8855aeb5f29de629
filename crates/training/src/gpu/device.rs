//! The device: kernels, memory, and work in the order in which it is recorded.

use std::collections::BTreeMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::GpuError;
use wgpu::{
    Adapter, BindGroupLayout, Buffer, BufferUsages, ComputePass, ComputePipeline, ErrorFilter,
    ErrorScopeGuard, PollType,
};

/// Kernels by the file that holds them.
const KERNELS: [(&str, &[&str]); 4] = [
    (include_str!("product.wgsl"), &["product", "gather", "scatter"]),
    (include_str!("lstm.wgsl"), &["lstm_forward", "lstm_backward"]),
    (include_str!("dropout.wgsl"), &["dropout"]),
    (
        include_str!("elements.wgsl"),
        &[
            "fill",
            "copy",
            "add",
            "multiply",
            "leaky",
            "tanh_forward",
            "tanh_backward",
            "interpolate",
            "mask_input",
            "merge_input",
            "fold",
            "transpose",
            "adam",
            "follow",
            "squares",
            "penalty",
            "errors",
            "sphere",
        ],
    ),
];

/// Invocations of a workgroup of the element-wise kernels.
const LANES: u32 = 256;
/// Workgroups that the smallest devices take in one dimension.
const GROUPS_MAX: u32 = 65_535;
/// Where the bindings of buffers that a kernel writes begin.
const WRITTEN: u32 = 4;
/// Bytes of parameters of the kernel with the most.
const PARAMETERS: u32 = 128;

/// Rows and columns of the product that a workgroup makes.
pub(super) const TILE: usize = 64;
/// Workgroups that a product should have, so that no part of a large device idles.
pub(super) const BUSY: usize = 256;

/// An open device with all kernels compiled.
#[derive(Debug)]
pub(super) struct Device {
    device: wgpu::Device,
    queue: wgpu::Queue,
    kernels: BTreeMap<&'static str, (ComputePipeline, BindGroupLayout)>,
    /// What the driver calls it.
    pub(super) name: String,
    /// A single 1.
    pub(super) one: Buffer,
    /// Parts of sums.
    pub(super) parts: Buffer,
}

/// A net's weights, and what goes with each of them.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) weights: Buffer,
    pub(super) grads: Buffer,
    pub(super) first: Buffer,
    pub(super) second: Buffer,
    pub(super) average: Buffer,
    pub(super) len: usize,
}

impl Device {
    /// Opens the fastest device there is.
    pub(super) fn open() -> Result<Self, GpuError> {
        let adapter = adapter()?;
        let limits = adapter.limits();
        let descriptor = wgpu::DeviceDescriptor {
            required_features: wgpu::Features::IMMEDIATES,
            required_limits: wgpu::Limits {
                max_immediate_size: PARAMETERS,
                // So that a buffer that is made can be bound.
                max_buffer_size: limits.max_buffer_size.min(limits.max_storage_buffer_binding_size),
                ..limits
            },
            ..Default::default()
        };
        let (device, queue) = wait(adapter.request_device(&descriptor)).map_err(|error| GpuError::Unfit {
            name: name(&adapter),
            reason: error.to_string(),
        })?;
        let mut kernels = BTreeMap::new();
        for (source, names) in KERNELS {
            let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: None,
                source: wgpu::ShaderSource::Wgsl(source.into()),
            });
            for name in names {
                let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                    label: Some(name),
                    layout: None,
                    module: &module,
                    entry_point: Some(name),
                    compilation_options: Default::default(),
                    cache: None,
                });
                let layout = pipeline.get_bind_group_layout(0);
                kernels.insert(*name, (pipeline, layout));
            }
        }
        let open = Self {
            name: name(&adapter),
            one: buffer(&device, 1, HELD),
            parts: buffer(&device, BUSY * TILE * TILE, HELD),
            device,
            queue,
            kernels,
        };
        open.write(&open.one, &[1.0]);
        Ok(open)
    }

    /// What the driver calls the device that would be opened.
    pub(super) fn find() -> Result<String, GpuError> {
        Ok(name(&adapter()?))
    }

    /// Begins to watch what is asked of its memory.
    pub(super) fn watch(&self) -> [ErrorScopeGuard; 2] {
        // What is larger than a buffer may be is not valid.
        [ErrorFilter::Validation, ErrorFilter::OutOfMemory].map(|kind| self.device.push_error_scope(kind))
    }

    /// Whether the memory gave all that was asked of it since.
    pub(super) fn check(&self, watch: [ErrorScopeGuard; 2]) -> Result<(), GpuError> {
        for scope in watch.into_iter().rev() {
            if wait(scope.pop()).is_some() {
                return Err(GpuError::Unfit {
                    name: self.name.clone(),
                    reason: "nets and batch are too large for its memory".to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Memory for `len` values, all zero.
    pub(super) fn zeros(&self, len: usize) -> Buffer {
        buffer(&self.device, len, HELD)
    }

    /// Memory that holds `values`.
    pub(super) fn filled(&self, values: &[f32]) -> Buffer {
        let buffer = self.zeros(values.len());
        self.write(&buffer, values);
        buffer
    }

    /// Puts `values` at the start of `buffer`, before what is recorded later.
    pub(super) fn write(&self, buffer: &Buffer, values: &[f32]) {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.queue.write_buffer(buffer, 0, &bytes);
    }

    /// What `from` holds when all that was submitted is done.
    pub(super) fn read(&self, from: &Buffer) -> Vec<f32> {
        let len = (from.size() / 4) as usize;
        let copy = buffer(&self.device, len, BufferUsages::MAP_READ | BufferUsages::COPY_DST);
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(from, 0, &copy, 0, from.size());
        self.queue.submit([encoder.finish()]);
        copy.map_async(wgpu::MapMode::Read, .., |_| {});
        // A device that is lost here has lost the run as well; its checkpoints are on disk.
        self.device
            .poll(PollType::wait_indefinitely())
            .expect("the device answers");
        let bytes = copy
            .get_mapped_range(..)
            .expect("the copy was mapped and waited for");
        bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect()
    }

    /// Begins to record work.
    pub(super) fn record(&self) -> Recorder<'_> {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let pass = encoder.begin_compute_pass(&Default::default()).forget_lifetime();
        Recorder {
            device: self,
            encoder,
            pass,
        }
    }
}

fn adapter() -> Result<Adapter, GpuError> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::VULKAN,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let options = wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..Default::default()
    };
    let adapter = wait(instance.request_adapter(&options)).map_err(|error| {
        let reason = error.to_string();
        GpuError::Absent(reason.lines().collect::<Vec<_>>().join(" "))
    })?;
    if !adapter.features().contains(wgpu::Features::IMMEDIATES)
        || adapter.limits().max_immediate_size < PARAMETERS
    {
        return Err(GpuError::Unfit {
            name: name(&adapter),
            reason: format!("it does not take {PARAMETERS} bytes of push constants"),
        });
    }
    Ok(adapter)
}

fn name(adapter: &Adapter) -> String {
    let info = adapter.get_info();
    let software = match info.device_type {
        wgpu::DeviceType::Cpu => ", which is no GPU: it computes on the processor, slowly",
        _ => "",
    };
    format!("{} ({} {}){software}", info.name, info.driver, info.driver_info)
}

/// What the kernels' memory is for.
const HELD: BufferUsages = BufferUsages::STORAGE
    .union(BufferUsages::COPY_SRC)
    .union(BufferUsages::COPY_DST);

fn buffer(device: &wgpu::Device, len: usize, usage: BufferUsages) -> Buffer {
    device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        // No buffer may be empty.
        size: 4 * len.max(1) as u64,
        usage,
        mapped_at_creation: false,
    })
}

/// Work being recorded. Each kernel sees what those before it wrote.
pub(super) struct Recorder<'a> {
    pub(super) device: &'a Device,
    encoder: wgpu::CommandEncoder,
    pass: ComputePass<'static>,
}

impl Recorder<'_> {
    /// Runs `kernel` in so many workgroups, on buffers that it reads and others that it writes, in the order of their
    /// bindings.
    pub(super) fn run(
        &mut self,
        kernel: &str,
        (read, written): (&[&Buffer], &[&Buffer]),
        parameters: &[u32],
        groups: [usize; 3],
    ) {
        let (pipeline, layout) = &self.device.kernels[kernel];
        let read = (0..).zip(read);
        let written = (WRITTEN..).zip(written);
        let entries: Vec<_> = read
            .chain(written)
            .map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let group = self.device.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout,
            entries: &entries,
        });
        let bytes: Vec<u8> = parameters.iter().flat_map(|p| p.to_le_bytes()).collect();
        self.pass.set_pipeline(pipeline);
        self.pass.set_bind_group(0, &group, &[]);
        self.pass.set_immediates(0, &bytes);
        let [x, y, z] = groups.map(|n| n as u32);
        self.pass.dispatch_workgroups(x, y, z);
    }

    /// Runs an element-wise kernel over `count` values.
    pub(super) fn each(&mut self, kernel: &str, buffers: (&[&Buffer], &[&Buffer]), parameters: Elements) {
        self.run(kernel, buffers, &parameters.words(), over(parameters.count));
    }

    /// Runs a kernel that gives each of `samples` a workgroup.
    pub(super) fn by_sample(
        &mut self,
        kernel: &str,
        samples: usize,
        buffers: (&[&Buffer], &[&Buffer]),
        parameters: Elements,
    ) {
        self.run(kernel, buffers, &parameters.words(), [samples, 1, 1]);
    }

    /// Starts what was recorded.
    pub(super) fn submit(self) {
        drop(self.pass);
        self.device.queue.submit([self.encoder.finish()]);
    }
}

/// Workgroups for `count` values; the kernels go on by themselves where that is not enough.
pub(super) fn over(count: usize) -> [usize; 3] {
    [count.div_ceil(LANES as usize).min(GROUPS_MAX as usize), 1, 1]
}

/// The parameters of `elements.wgsl`; see there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Elements {
    pub(super) count: usize,
    pub(super) begin: usize,
    pub(super) to: usize,
    pub(super) width: usize,
    pub(super) from_stride: usize,
    pub(super) to_stride: usize,
    pub(super) steps: usize,
    pub(super) factor: f32,
    /// See [`crate::steps::Batch::bend`].
    pub(super) bend: f32,
    /// Adam: what is kept and taken of first and second moment, and epsilon.
    pub(super) adam: [f32; 5],
}

impl Elements {
    /// All values of a buffer, or the first so many.
    pub(super) fn of(count: usize) -> Self {
        Self {
            count,
            ..Self::default()
        }
    }

    /// To copy so many values in one row.
    pub(super) fn line(count: usize) -> Self {
        Self {
            width: count,
            ..Self::of(count)
        }
    }

    fn words(self) -> Vec<u32> {
        let whole = [
            self.count,
            self.begin,
            self.to,
            self.width,
            self.from_stride,
            self.to_stride,
            self.steps,
        ];
        let mut words: Vec<u32> = whole.iter().map(|w| *w as u32).collect();
        words.extend([self.factor, self.bend].map(f32::to_bits));
        words.extend(self.adam.map(f32::to_bits));
        words
    }
}

/// The library's futures are ready when they are made, except in a browser.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
        std::thread::yield_now();
    }
}
