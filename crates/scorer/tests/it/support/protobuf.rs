//! Just enough of the ONNX wire format to write small nets; the product's own writer lives with the trainer.

/// One message under construction.
#[derive(Clone, Default)]
pub(crate) struct Message(pub(crate) Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub(crate) fn int(mut self, field: u64, value: i64) -> Self {
        self.varint(field << 3);
        self.varint(value as u64);
        self
    }

    pub(crate) fn float(mut self, field: u64, value: f32) -> Self {
        self.varint((field << 3) | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.varint((field << 3) | 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    pub(crate) fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    pub(crate) fn message(self, field: u64, value: &Self) -> Self {
        let Self(bytes) = value;
        self.bytes(field, bytes)
    }
}

/// An attribute of a node.
pub(crate) enum Attribute<'a> {
    Float(f32),
    Int(i64),
    Ints(&'a [i64]),
    Text(&'a str),
}

/// A graph under construction: a chain of nodes, each taking what the last one gave.
pub(crate) struct Graph {
    message: Message,
    last: String,
    tensors: usize,
}

impl Graph {
    pub(crate) fn new(input: &str, sizes: &[i64]) -> Self {
        Self {
            message: Message::default()
                .text(2, "net")
                .message(11, &value_info(input, sizes)),
            last: input.to_owned(),
            tensors: 0,
        }
    }

    /// Appends a node whose inputs are the chain's last tensor and `constants`.
    pub(crate) fn node(&mut self, op: &str, constants: &[&str], attributes: &[(&str, Attribute<'_>)]) {
        let last = self.last.clone();
        let inputs: Vec<&str> = std::iter::once(last.as_str())
            .chain(constants.iter().copied())
            .collect();
        self.tensors += 1;
        self.last = format!("t{}", self.tensors);
        let mut node = Message::default();
        for input in inputs {
            node = node.text(1, input);
        }
        node = node.text(2, &self.last).text(4, op);
        for (name, attribute) in attributes {
            node = node.message(5, &attribute_message(name, attribute));
        }
        self.append(1, &node);
    }

    pub(crate) fn floats(&mut self, sizes: &[i64], values: &[f32]) -> String {
        assert_eq!(sizes.iter().product::<i64>(), values.len() as i64, "{sizes:?}");
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(sizes, 1, &raw)
    }

    pub(crate) fn ints(&mut self, values: &[i64]) -> String {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(&[values.len() as i64], 7, &raw)
    }

    /// Names the last tensor `output` and wraps the graph into a model of opset 17.
    pub(crate) fn finish(mut self, output: &str, sizes: &[i64]) -> Vec<u8> {
        let identity = Message::default()
            .text(1, &self.last)
            .text(2, output)
            .text(4, "Identity");
        self.append(1, &identity);
        self.append(12, &value_info(output, sizes));
        let opset = Message::default().text(1, "").int(2, 17);
        let model = Message::default()
            .int(1, 8)
            .message(7, &self.message)
            .message(8, &opset);
        model.0
    }

    fn constant(&mut self, sizes: &[i64], data_type: i64, raw: &[u8]) -> String {
        self.tensors += 1;
        let name = format!("c{}", self.tensors);
        let mut tensor = Message::default();
        for size in sizes {
            tensor = tensor.int(1, *size);
        }
        self.append(5, &tensor.int(2, data_type).text(8, &name).bytes(9, raw));
        name
    }

    fn append(&mut self, field: u64, message: &Message) {
        self.message = std::mem::take(&mut self.message).message(field, message);
    }
}

fn attribute_message(name: &str, attribute: &Attribute<'_>) -> Message {
    let message = Message::default().text(1, name);
    match attribute {
        Attribute::Float(value) => message.float(2, *value).int(20, 1),
        Attribute::Int(value) => message.int(3, *value).int(20, 2),
        Attribute::Text(value) => message.text(4, value).int(20, 3),
        Attribute::Ints(values) => values
            .iter()
            .fold(message, |message, value| message.int(8, *value))
            .int(20, 7),
    }
}

/// A float32 tensor with a dynamic batch axis before `sizes`.
fn value_info(name: &str, sizes: &[i64]) -> Message {
    let batch = Message::default().text(2, "batch");
    let shape = sizes
        .iter()
        .fold(Message::default().message(1, &batch), |shape, size| {
            shape.message(1, &Message::default().int(1, *size))
        });
    let tensor = Message::default().int(1, 1).message(2, &shape);
    Message::default()
        .text(1, name)
        .message(2, &Message::default().message(1, &tensor))
}
