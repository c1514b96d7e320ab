// Decodes one token per request with llama.cpp, on a Llama model with drawn weights, so that a benchmark can interleave it with other engines.
//
//   node serve.mjs '{"dim": 768, "hidden": 2048, "layers": 12, "heads": 12, "kvheads": 12, "vocabulary": 8192, "sequence": 256}' TYPE THREADS FOLDER
//
// TYPE: f32, bf16, q8_0 or q4_0. The model is written to FOLDER. Protocol, one line each way: "run" -> milliseconds of one token; "quit".
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { getLlama, LlamaLogLevel } from 'node-llama-cpp';
import { bytesPerToken, writeLlama } from './gguf.mjs';

const [shapeText, type, threadsText, folder] = process.argv.slice(2);
const shape = JSON.parse(shapeText), threads = Number(threadsText), path = join(folder, `llama-${type}.gguf`);
writeLlama(path, shape, type);
const llama = await getLlama({ gpu: false, build: 'never', logLevel: LlamaLogLevel.error, maxThreads: threads, progressLogs: false });
const model = await llama.loadModel({ modelPath: path, gpuLayers: 0 });
const context = await model.createContext({ contextSize: shape.sequence, batchSize: 32, threads: { ideal: threads, min: threads } });
const sequence = context.getSequence();

async function step(token) {
  const [result] = (await sequence.controlledEvaluate([[token, { generateNext: { token: true, options: { temperature: 0 } } }]])).slice(-1);
  if (result?.next?.token === undefined) throw new Error('no token came back');
}

await step(1);
console.log(JSON.stringify({ ready: true, release: llama.llamaCppRelease?.release ?? '', system: llama.systemInfo, threads: context.currentThreads, bytes: bytesPerToken(shape, type) }));
for await (const line of createInterface({ input: process.stdin })) {
  if (line !== 'run') break;
  if (sequence.nextTokenIndex >= Math.min(64, shape.sequence - 8)) {
    await sequence.clearHistory();
    await step(1);
  }
  const start = process.hrtime.bigint();
  await step(5);
  console.log((Number(process.hrtime.bigint() - start) / 1e6).toFixed(6));
}
process.exit(0);
