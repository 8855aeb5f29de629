//! Bidirectional LSTM, Keras conventions: gates i, f, c, o; one bias; zero first state; the halves side by side.
//!
//! Dropout and recurrent dropout use one mask a sequence, constant over time and different for each direction.
//! One product projects all inputs of a direction, one product a step does the recurrent part; the gradients of the
//! weights are one product each.

use std::ops::Range;

use rand_chacha::ChaCha8Rng;

use crate::math::{CellBackward, CellForward, Mat, MatMut, Write};
use crate::math::{add_column_sums, add_row, cell_backward, cell_forward, gemm, zeros};
use crate::params::{Init, Layout};
use crate::rng::dropout_mask;

/// How the hidden states of a sequence are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `[batch, steps, 2·units]`
    BatchMajor,
    /// `[steps, batch, 2·units]`
    TimeMajor,
}

/// Sizes and weights of a bidirectional LSTM. Its input is time-major: `[steps / repeat, batch, inputs]`.
#[derive(Clone, Debug)]
pub struct BiLstm {
    /// Features of an input step.
    pub inputs: usize,
    /// Units a direction.
    pub units: usize,
    /// Output steps.
    pub steps: usize,
    /// How often each input step is repeated: 2 stands for an upsampling layer in front, at half its cost.
    pub repeat: usize,
    /// Layout of the output.
    pub order: Order,
    /// Rate of dropout and of recurrent dropout in training.
    pub rate: f32,
    directions: [Direction; 2],
}

/// Where the tensors of one direction stand.
#[derive(Clone, Debug)]
struct Direction {
    kernel: Range<usize>,
    recurrent: Range<usize>,
    bias: Range<usize>,
}

/// What a forward pass leaves for the backward pass; everything in the order in which the direction walks.
#[derive(Clone, Debug, Default)]
struct DirectionTape {
    mask_x: Vec<f32>,
    mask_h: Vec<f32>,
    x: Vec<f32>,
    gates: Vec<f32>,
    c: Vec<f32>,
    tanh_c: Vec<f32>,
    h_before: Vec<f32>,
}

/// Buffers of one pass through a [`BiLstm`].
#[derive(Clone, Debug, Default)]
pub struct Tape {
    batch: usize,
    directions: [DirectionTape; 2],
    projected: Vec<f32>,
    dh: Vec<f32>,
    dc: Vec<f32>,
    dx: Vec<f32>,
    /// Hidden states in the layer's [`Order`].
    pub out: Vec<f32>,
    /// Gradient of the input, `[steps / repeat, batch, inputs]`, after a backward pass that asked for it.
    pub d_input: Vec<f32>,
}

impl BiLstm {
    /// Adds the tensors of the layer to `layout` under `name`.
    pub fn new(
        layout: &mut Layout,
        name: &str,
        (inputs, units): (usize, usize),
        (steps, repeat): (usize, usize),
        order: Order,
        rate: f32,
    ) -> Self {
        assert!(steps % repeat == 0, "steps are a multiple of the repetition");
        let mut direction = |which: &str| Direction {
            kernel: layout.push(
                format!("{name}.{which}.kernel"),
                &[inputs, 4 * units],
                Init::Glorot {
                    fan_in: inputs,
                    fan_out: 4 * units,
                },
            ),
            recurrent: layout.push(
                format!("{name}.{which}.recurrent_kernel"),
                &[units, 4 * units],
                Init::Orthogonal,
            ),
            bias: layout.push(format!("{name}.{which}.bias"), &[4 * units], Init::ForgetOne),
        };
        let directions = [direction("forward"), direction("backward")];
        Self {
            inputs,
            units,
            steps,
            repeat,
            order,
            rate,
            directions,
        }
    }

    /// Where kernel, recurrent kernel and bias of each direction stand in the net's flat weights.
    #[must_use]
    pub fn tensors(&self) -> [[Range<usize>; 3]; 2] {
        self.directions
            .each_ref()
            .map(|d| [d.kernel.clone(), d.recurrent.clone(), d.bias.clone()])
    }

    /// Runs `input` (time-major) through the layer into `tape.out`; dropout is on when a generator is given.
    pub fn forward(
        &self,
        weights: &[f32],
        input: &[f32],
        batch: usize,
        mut dropout: Option<&mut ChaCha8Rng>,
        tape: &mut Tape,
    ) {
        assert_eq!(
            input.len(),
            self.steps / self.repeat * batch * self.inputs,
            "input shape"
        );
        tape.batch = batch;
        tape.out.resize(self.steps * batch * 2 * self.units, 0.0);
        for reversed in [false, true] {
            let masks = &mut tape.directions[usize::from(reversed)];
            masks.mask_x.clear();
            masks.mask_h.clear();
            if let Some(rng) = dropout.as_deref_mut() {
                masks.mask_x.resize(batch * self.inputs, 0.0);
                dropout_mask(rng, self.rate, &mut masks.mask_x);
                masks.mask_h.resize(batch * self.units, 0.0);
                dropout_mask(rng, self.rate, &mut masks.mask_h);
            }
            self.walk(weights, input, reversed, tape);
        }
    }

    /// One direction forward.
    fn walk(&self, weights: &[f32], input: &[f32], reversed: bool, tape: &mut Tape) {
        let direction = &self.directions[usize::from(reversed)];
        let (batch, units, steps) = (tape.batch, self.units, self.steps);
        let (input_steps, state) = (steps / self.repeat, batch * units);
        let this = &mut tape.directions[usize::from(reversed)];
        this.x.resize(input.len(), 0.0);
        self.reorder_input(input, reversed, batch, this);
        tape.projected.resize(input_steps * batch * 4 * units, 0.0);
        gemm(
            MatMut::new(&mut tape.projected, input_steps * batch, 4 * units),
            Write::Set,
            Mat::new(&this.x, input_steps * batch, self.inputs),
            Mat::new(&weights[direction.kernel.clone()], self.inputs, 4 * units),
        );
        add_row(&mut tape.projected, &weights[direction.bias.clone()]);

        this.gates.resize(steps * 4 * state, 0.0);
        this.c.resize(steps * state, 0.0);
        this.tanh_c.resize(steps * state, 0.0);
        this.h_before.resize(steps * state, 0.0);
        this.h_before[..state].fill(0.0);
        for step in 0..steps {
            let this = &mut tape.directions[usize::from(reversed)];
            let gates = &mut this.gates[step * 4 * state..(step + 1) * 4 * state];
            let from = step / self.repeat * 4 * state;
            gates.copy_from_slice(&tape.projected[from..from + 4 * state]);
            if step > 0 {
                gemm(
                    MatMut::new(gates, batch, 4 * units),
                    Write::Add,
                    Mat::new(&this.h_before[step * state..(step + 1) * state], batch, units),
                    Mat::new(&weights[direction.recurrent.clone()], units, 4 * units),
                );
            }
            let (before, now) = this.c.split_at_mut(step * state);
            let tanh_c = &mut this.tanh_c[step * state..(step + 1) * state];
            cell_forward(
                &mut CellForward {
                    gates,
                    c_before: &before[before.len().saturating_sub(state)..],
                    c: &mut now[..state],
                    tanh_c,
                },
                units,
            );
            self.emit(step, reversed, tape);
        }
    }

    /// Writes the hidden state of a walking step to the output and, masked, to where the next step reads it.
    fn emit(&self, step: usize, reversed: bool, tape: &mut Tape) {
        let (batch, units) = (tape.batch, self.units);
        let state = batch * units;
        let this = &mut tape.directions[usize::from(reversed)];
        for row in 0..batch {
            let o = (step * batch + row) * 4 * units + 3 * units;
            let tanh_c = (step * batch + row) * units;
            let to = self.at(step, row, reversed, batch);
            let h = &mut tape.out[to..to + units];
            let activations = this.gates[o..o + units]
                .iter()
                .zip(&this.tanh_c[tanh_c..tanh_c + units]);
            h.iter_mut()
                .zip(activations)
                .for_each(|(h, (o, tanh_c))| *h = o * tanh_c);
            let next = (step + 1) * state + row * units;
            if let Some(next) = this.h_before.get_mut(next..next + units) {
                next.copy_from_slice(h);
                if let Some(mask) = this.mask_h.get(row * units..(row + 1) * units) {
                    next.iter_mut().zip(mask).for_each(|(h, m)| *h *= m);
                }
            }
        }
    }

    /// Copies the input into walking order, masked where dropout is on.
    fn reorder_input(&self, input: &[f32], reversed: bool, batch: usize, this: &mut DirectionTape) {
        let width = batch * self.inputs;
        let last = input.len() / width - 1;
        for (step, row) in this.x.chunks_exact_mut(width).enumerate() {
            let from = if reversed { last - step } else { step } * width;
            row.copy_from_slice(&input[from..from + width]);
            row.iter_mut().zip(&this.mask_x).for_each(|(x, m)| *x *= m);
        }
    }

    /// Offset in the output of the hidden state of a walking step.
    fn at(&self, step: usize, row: usize, reversed: bool, batch: usize) -> usize {
        let time = if reversed { self.steps - 1 - step } else { step };
        let cell = match self.order {
            Order::BatchMajor => row * self.steps + time,
            Order::TimeMajor => time * batch + row,
        };
        (2 * cell + usize::from(reversed)) * self.units
    }

    /// Adds the gradients of the weights to `grads`, given that of the output (in the layer's [`Order`]); puts the
    /// gradient of the input into `tape.d_input` if `want_input`. Consumes the tape.
    pub fn backward(
        &self,
        weights: &[f32],
        d_out: &[f32],
        tape: &mut Tape,
        grads: &mut [f32],
        want_input: bool,
    ) {
        assert_eq!(d_out.len(), tape.out.len(), "gradient shape");
        if want_input {
            zeros(
                &mut tape.d_input,
                self.steps / self.repeat * tape.batch * self.inputs,
            );
        }
        for reversed in [false, true] {
            self.walk_back(weights, d_out, reversed, tape);
            self.collect(weights, reversed, tape, grads, want_input);
        }
    }

    /// One direction backward through time: turns `gates` into the gradients of their pre-activations.
    fn walk_back(&self, weights: &[f32], d_out: &[f32], reversed: bool, tape: &mut Tape) {
        let direction = &self.directions[usize::from(reversed)];
        let (batch, units, steps) = (tape.batch, self.units, self.steps);
        let state = batch * units;
        let this = &mut tape.directions[usize::from(reversed)];
        zeros(&mut tape.dc, state);
        zeros(&mut tape.dh, state);
        for step in (0..steps).rev() {
            if let Some(later) = this.gates.get((step + 1) * 4 * state..(step + 2) * 4 * state) {
                gemm(
                    MatMut::new(&mut tape.dh, batch, units),
                    Write::Set,
                    Mat::new(later, batch, 4 * units),
                    Mat::new(&weights[direction.recurrent.clone()], units, 4 * units).t(),
                );
                tape.dh.iter_mut().zip(&this.mask_h).for_each(|(dh, m)| *dh *= m);
            }
            for row in 0..batch {
                let from = self.at(step, row, reversed, batch);
                let dh = &mut tape.dh[row * units..(row + 1) * units];
                dh.iter_mut()
                    .zip(&d_out[from..from + units])
                    .for_each(|(dh, d)| *dh += d);
            }
            cell_backward(
                &mut CellBackward {
                    gates: &mut this.gates[step * 4 * state..(step + 1) * 4 * state],
                    c_before: if step > 0 {
                        &this.c[(step - 1) * state..step * state]
                    } else {
                        &[]
                    },
                    tanh_c: &this.tanh_c[step * state..(step + 1) * state],
                    dh: &tape.dh,
                    dc: &mut tape.dc,
                },
                units,
            );
        }
    }

    /// Gradients of one direction's weights and input from those of the pre-activations.
    fn collect(&self, weights: &[f32], reversed: bool, tape: &mut Tape, grads: &mut [f32], want_input: bool) {
        let direction = &self.directions[usize::from(reversed)];
        let (batch, units) = (tape.batch, self.units);
        let (rows, wide) = (self.steps * batch, 4 * units);
        let this = &mut tape.directions[usize::from(reversed)];
        gemm(
            MatMut::new(&mut grads[direction.recurrent.clone()], units, wide),
            Write::Add,
            Mat::new(&this.h_before, rows, units).t(),
            Mat::new(&this.gates, rows, wide),
        );
        let d_projected = if self.repeat == 1 {
            &this.gates
        } else {
            zeros(&mut tape.projected, rows / self.repeat * wide);
            let block = batch * wide;
            for (step, dz) in this.gates.chunks_exact(block).enumerate() {
                let at = step / self.repeat * block;
                let sum = &mut tape.projected[at..at + block];
                sum.iter_mut().zip(dz).for_each(|(sum, dz)| *sum += dz);
            }
            &tape.projected
        };
        add_column_sums(d_projected, &mut grads[direction.bias.clone()]);
        let input_rows = rows / self.repeat;
        gemm(
            MatMut::new(&mut grads[direction.kernel.clone()], self.inputs, wide),
            Write::Add,
            Mat::new(&this.x, input_rows, self.inputs).t(),
            Mat::new(d_projected, input_rows, wide),
        );
        if !want_input {
            return;
        }
        tape.dx.resize(input_rows * self.inputs, 0.0);
        gemm(
            MatMut::new(&mut tape.dx, input_rows, self.inputs),
            Write::Set,
            Mat::new(d_projected, input_rows, wide),
            Mat::new(&weights[direction.kernel.clone()], self.inputs, wide).t(),
        );
        let width = batch * self.inputs;
        let last = input_rows / batch - 1;
        for (step, dx) in tape.dx.chunks_exact_mut(width).enumerate() {
            dx.iter_mut().zip(&this.mask_x).for_each(|(dx, m)| *dx *= m);
            let to = if reversed { last - step } else { step } * width;
            tape.d_input[to..to + width]
                .iter_mut()
                .zip(&*dx)
                .for_each(|(sum, dx)| *sum += dx);
        }
    }
}
