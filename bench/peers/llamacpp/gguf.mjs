// Writes a Llama model with drawn weights as GGUF (version 3), in the types whose decoding is compared: f32, bf16, q8_0, q4_0.
import { closeSync, openSync, writeSync } from 'node:fs';

const BLOCK = 32, POOL = 1 << 20, ALIGNMENT = 32, VOCABULARY_BYTE_BASE = 3;
const types = {
  f32: { id: 0, file: 0, bytes: n => n * 4 },
  bf16: { id: 30, file: 32, bytes: n => n * 2 },
  q8_0: { id: 8, file: 7, bytes: n => n / BLOCK * 34 },
  q4_0: { id: 2, file: 2, bytes: n => n / BLOCK * 18 },
};

/** Bytes of all matrices that one token reads: what decoding waits for. */
export function bytesPerToken(shape, type) {
  return tensors(shape).filter(t => t.dims.length === 2 && t.name !== 'token_embd.weight').reduce((sum, t) => sum + types[type].bytes(t.dims[0] * t.dims[1]), 0);
}

export function writeLlama(path, shape, type) {
  const { dim, hidden, layers, heads, kvheads, vocabulary, sequence } = shape;
  const head = dim / heads, file = openSync(path, 'w');
  const metadata = [
    text('general.architecture', 'llama'), text('general.name', 'drawn'), number('general.file_type', types[type].file), number('general.quantization_version', 2), number('general.alignment', ALIGNMENT),
    number('llama.context_length', sequence), number('llama.embedding_length', dim), number('llama.block_count', layers), number('llama.feed_forward_length', hidden),
    number('llama.attention.head_count', heads), number('llama.attention.head_count_kv', kvheads), real('llama.attention.layer_norm_rms_epsilon', 1e-5),
    number('llama.rope.dimension_count', head), real('llama.rope.freq_base', 10000), number('llama.vocab_size', vocabulary),
    ...tokenizer(vocabulary),
  ];
  const list = tensors(shape), infos = [];
  let offset = 0;
  for (const tensor of list) {
    tensor.type = tensor.dims.length === 1 ? 'f32' : type;
    tensor.bytes = types[tensor.type].bytes(tensor.dims.reduce((a, b) => a * b));
    infos.push(string(tensor.name), u32(tensor.dims.length), ...tensor.dims.map(u64), u32(types[tensor.type].id), u64(offset));
    offset = align(offset + tensor.bytes);
  }
  const header = Buffer.concat([Buffer.from('GGUF'), u32(3), u64(list.length), u64(metadata.length), ...metadata, ...infos]);
  writeSync(file, header);
  writeSync(file, Buffer.alloc(align(header.length) - header.length));
  const pool = draw(type), ones = Buffer.from(new Float32Array(dim).fill(1).buffer);
  for (const tensor of list) {
    if (tensor.dims.length === 1) {
      writeSync(file, ones, 0, tensor.bytes);
    } else {
      for (let written = 0; written < tensor.bytes; written += pool.length) writeSync(file, pool, 0, Math.min(pool.length, tensor.bytes - written));
    }
    writeSync(file, Buffer.alloc(align(tensor.bytes) - tensor.bytes));
  }
  closeSync(file);
}

// Inputs come first in a tensor's dimensions.
function tensors({ dim, hidden, layers, heads, kvheads, vocabulary }) {
  const keys = dim / heads * kvheads, list = [{ name: 'token_embd.weight', dims: [dim, vocabulary] }];
  for (let i = 0; i < layers; i++) {
    const add = (name, ...dims) => list.push({ name: `blk.${i}.${name}.weight`, dims });
    add('attn_norm', dim);
    add('attn_q', dim, dim);
    add('attn_k', dim, keys);
    add('attn_v', dim, keys);
    add('attn_output', dim, dim);
    add('ffn_norm', dim);
    add('ffn_gate', dim, hidden);
    add('ffn_up', dim, hidden);
    add('ffn_down', hidden, dim);
  }
  list.push({ name: 'output_norm.weight', dims: [dim] }, { name: 'output.weight', dims: [dim, vocabulary] });
  return list;
}

// The three special tokens, the bytes, and names for the rest: nothing is tokenised, but a vocabulary must be there.
function tokenizer(vocabulary) {
  const names = [], kinds = [];
  for (let i = 0; i < vocabulary; i++) {
    const byte = i - VOCABULARY_BYTE_BASE;
    names.push(i < VOCABULARY_BYTE_BASE ? ['<unk>', '<s>', '</s>'][i] : byte < 256 ? `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>` : `token${i}`);
    kinds.push(i === 0 ? 2 : i < VOCABULARY_BYTE_BASE ? 3 : byte < 256 ? 6 : 1);
  }
  return [
    text('tokenizer.ggml.model', 'llama'), entry('tokenizer.ggml.tokens', 9, u32(8), u64(vocabulary), ...names.map(string)),
    entry('tokenizer.ggml.scores', 9, u32(6), u64(vocabulary), Buffer.from(new Float32Array(vocabulary).buffer)),
    entry('tokenizer.ggml.token_type', 9, u32(5), u64(vocabulary), Buffer.from(new Int32Array(kinds).buffer)),
    number('tokenizer.ggml.bos_token_id', 1), number('tokenizer.ggml.eos_token_id', 2), number('tokenizer.ggml.unknown_token_id', 0),
  ];
}

// The same million drawn values over and over: sizes count, not what is said.
function draw(type) {
  let state = 1;
  const random = () => ((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 4294967296);
  const buffer = Buffer.alloc(types[type].bytes(POOL)), scale = half(0.02 / 127 * (type === 'q4_0' ? 16 : 1));
  for (let i = 0; i < POOL; i++) {
    const value = (random() * 2 - 1) * 0.035;
    if (type === 'f32') buffer.writeFloatLE(value, i * 4);
    else if (type === 'bf16') buffer.writeUInt16LE(new Uint32Array(new Float32Array([value]).buffer)[0] >>> 16, i * 2);
    else if (i % BLOCK === 0) {
      const at = i / BLOCK * types[type].bytes(BLOCK);
      buffer.writeUInt16LE(scale, at);
      for (let b = at + 2; b < at + types[type].bytes(BLOCK); b++) buffer[b] = random() * 256;
    }
  }
  return buffer;
}

// Half precision of a small positive number, truncated.
function half(value) {
  const bits = new Uint32Array(new Float32Array([value]).buffer)[0], exponent = (bits >>> 23) - 112;
  return exponent > 0 ? exponent << 10 | bits >>> 13 & 0x3FF : Math.round(value * 2 ** 24);
}

function align(n) {
  return Math.ceil(n / ALIGNMENT) * ALIGNMENT;
}

function u32(value) {
  const b = Buffer.alloc(4);
  b.writeUInt32LE(value);
  return b;
}

function u64(value) {
  const b = Buffer.alloc(8);
  b.writeBigUInt64LE(BigInt(value));
  return b;
}

function string(value) {
  const b = Buffer.from(value);
  return Buffer.concat([u64(b.length), b]);
}

function entry(key, type, ...value) {
  return Buffer.concat([string(key), u32(type), ...value]);
}

function text(key, value) {
  return entry(key, 8, string(value));
}

function number(key, value) {
  return entry(key, 4, u32(value));
}

function real(key, value) {
  return entry(key, 6, Buffer.from(new Float32Array([value]).buffer));
}
