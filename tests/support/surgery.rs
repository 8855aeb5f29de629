//! Bundles that are whole and yet wrong: a net changed, fingerprint and hashes made to match.
//!
//! Graphs are edited as protocol buffers field by field, so that whatever is not looked at stays as it is.

use std::fs;
use std::io;
use std::path::Path;

use scorer::bundle::{FINGERPRINT_FILE, MANIFEST_FILE, sha256_hex};
use scorer::manifest::{Fingerprint, Manifest};

const GENERATOR: &str = "generator.onnx";
const CRITIC: &str = "critic_x.onnx";

/// What is done to a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surgery {
    /// The generator gives its buckets in another order.
    PermuteGenerator,
    /// The critic of windows says the same of every window.
    ConstantCritic,
}

impl Surgery {
    /// By the name that the example takes.
    #[allow(dead_code, reason = "the example names them, tests do not")]
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "permute-generator" => Some(Self::PermuteGenerator),
            "constant-critic" => Some(Self::ConstantCritic),
            _ => None,
        }
    }
}

/// Writes to `to` the bundle in `from` with one net changed.
pub(crate) fn operate(from: &Path, to: &Path, surgery: Surgery) -> io::Result<()> {
    copy(from, to)?;
    let mut fingerprint: Fingerprint = serde_json::from_slice(&fs::read(from.join(FINGERPRINT_FILE))?)?;
    match surgery {
        Surgery::PermuteGenerator => {
            let window = fingerprint.input[0].len();
            let order = order(window);
            let net = fs::read(from.join(GENERATOR))?;
            fs::write(to.join(GENERATOR), permuted(&net, "y", &order))?;
            for row in &mut fingerprint.reconstruction {
                *row = order.iter().map(|k| row[*k]).collect();
            }
        }
        Surgery::ConstantCritic => {
            let said = fingerprint.critic_x[0];
            let net = fs::read(from.join(CRITIC))?;
            fs::write(to.join(CRITIC), constant(&net, "critic", said))?;
            fingerprint.critic_x.fill(said);
        }
    }
    fs::write(to.join(FINGERPRINT_FILE), serde_json::to_vec(&fingerprint)?)?;
    rehash(to)
}

/// Makes the hashes of the manifest in `dir` those of the files.
pub(crate) fn rehash(dir: &Path) -> io::Result<()> {
    let path = dir.join(MANIFEST_FILE);
    let mut manifest: Manifest = toml::from_str(&fs::read_to_string(&path)?).map_err(io::Error::other)?;
    for (name, hash) in &mut manifest.files {
        *hash = sha256_hex(&fs::read(dir.join(name))?);
    }
    fs::write(path, toml::to_string_pretty(&manifest).map_err(io::Error::other)?)
}

/// Copies the files of a bundle into a new directory.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// A fixed order without order in it.
fn order(n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by_key(|k| sha256_hex(&k.to_le_bytes()));
    order
}

/// Appends to the graph a Gather of its output `[B, L, 1]` along L.
fn permuted(model: &[u8], output: &str, order: &[usize]) -> Vec<u8> {
    let indices: Vec<u8> = order.iter().flat_map(|k| (*k as i64).to_le_bytes()).collect();
    edit_graph(model, output, |raw| {
        vec![
            (
                NODE,
                node("Gather", &[raw, "surgery.order"], output, Some(("axis", 1))),
            ),
            (
                INITIALIZER,
                tensor("surgery.order", INT64, Some(order.len()), &indices),
            ),
        ]
    })
}

/// Appends to the graph `output = 0 · output + value`, which keeps the batch dynamic.
fn constant(model: &[u8], output: &str, value: f32) -> Vec<u8> {
    edit_graph(model, output, |raw| {
        vec![
            (NODE, node("Mul", &[raw, "surgery.zero"], "surgery.nothing", None)),
            (
                NODE,
                node("Add", &["surgery.nothing", "surgery.value"], output, None),
            ),
            (
                INITIALIZER,
                tensor("surgery.zero", FLOAT, None, &0f32.to_le_bytes()),
            ),
            (
                INITIALIZER,
                tensor("surgery.value", FLOAT, None, &value.to_le_bytes()),
            ),
        ]
    })
}

// Field numbers and types of onnx.proto.
const GRAPH: u64 = 7;
const NODE: u64 = 1;
const NODE_OUTPUT: u64 = 2;
const INITIALIZER: u64 = 5;
const FLOAT: u64 = 1;
const INT64: u64 = 7;

/// Gives what computes `output` another name and appends fields to the graph.
fn edit_graph(model: &[u8], output: &str, more: impl Fn(&str) -> Vec<(u64, Vec<u8>)>) -> Vec<u8> {
    let raw = "surgery.raw";
    let rename = |node: &[u8]| {
        map_fields(node, NODE_OUTPUT, |name| {
            if name == output.as_bytes() {
                raw.as_bytes().to_vec()
            } else {
                name.to_vec()
            }
        })
    };
    map_fields(model, GRAPH, |graph| {
        let mut graph = map_fields(graph, NODE, rename);
        for (field, bytes) in more(raw) {
            put_bytes(&mut graph, field, &bytes);
        }
        graph
    })
}

/// Copies a message, each of its length-delimited fields `number` mapped by `edit`.
fn map_fields(message: &[u8], number: u64, edit: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let (mut out, mut at) = (Vec::with_capacity(message.len() + 1024), 0);
    while at < message.len() {
        let start = at;
        let key = varint(message, &mut at);
        match key & 7 {
            0 => {
                varint(message, &mut at);
            }
            1 => at += 8,
            2 => {
                let len = varint(message, &mut at) as usize;
                at += len;
                if key >> 3 == number {
                    put_bytes(&mut out, number, &edit(&message[at - len..at]));
                    continue;
                }
            }
            5 => at += 4,
            wire => panic!("wire type {wire} is not used by ONNX"),
        }
        out.extend_from_slice(&message[start..at]);
    }
    out
}

fn node(op: &str, inputs: &[&str], output: &str, axis: Option<(&str, u64)>) -> Vec<u8> {
    let mut out = Vec::new();
    for input in inputs {
        put_bytes(&mut out, 1, input.as_bytes());
    }
    put_bytes(&mut out, NODE_OUTPUT, output.as_bytes());
    put_bytes(&mut out, 3, format!("surgery.{}", op.to_lowercase()).as_bytes());
    put_bytes(&mut out, 4, op.as_bytes());
    if let Some((name, value)) = axis {
        let mut attribute = Vec::new();
        put_bytes(&mut attribute, 1, name.as_bytes());
        put_varint(&mut attribute, 3, value);
        // AttributeProto.AttributeType.INT
        put_varint(&mut attribute, 20, 2);
        put_bytes(&mut out, 5, &attribute);
    }
    out
}

fn tensor(name: &str, data_type: u64, len: Option<usize>, raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(len) = len {
        put_varint(&mut out, 1, len as u64);
    }
    put_varint(&mut out, 2, data_type);
    put_bytes(&mut out, 8, name.as_bytes());
    put_bytes(&mut out, 9, raw);
    out
}

fn varint(bytes: &[u8], at: &mut usize) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return value;
        }
        shift += 7;
    }
}

fn put_raw(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_varint(out: &mut Vec<u8>, number: u64, value: u64) {
    put_raw(out, number << 3);
    put_raw(out, value);
}

fn put_bytes(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    put_raw(out, number << 3 | 2);
    put_raw(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
