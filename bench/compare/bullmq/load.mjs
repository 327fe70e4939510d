// Full cycles with BullMQ on Redis: add answered, processed, and moved to finished (its event comes after Redis's answer).
//
//   single  64 producers, a worker of concurrency 64; BullMQ shares one connection a side
//
// The options and the two lines on the standard output are those of load/load.go.
import { Queue, Worker } from 'bullmq';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  args: process.argv.slice(2).map((word) => word.replace(/^-(?=[a-z])/, '--')),
  options: {
    server: { type: 'string' },
    mode: { type: 'string', default: 'single' },
    warmup: { type: 'string', default: '2s' },
    seconds: { type: 'string', default: '8s' },
    payload: { type: 'string', default: '300' },
  },
});
const waitingMax = 1024;
const [host, port] = values.server.split(':');
const connection = { host, port: Number(port) };
const payload = 'x'.repeat(Number(values.payload) - 2);

let completed = 0;
let waiting = 0;
const sleepers = [];

const worker = new Worker('bench', async () => {}, { connection, concurrency: 64 });
worker.on('error', fail);
worker.on('completed', () => {
  completed += 1;
  waiting -= 1;
  sleepers.shift()?.();
});

function fail(error) {
  console.error(error);
  process.exit(1);
}

async function produce() {
  for (;;) {
    while (waiting >= waitingMax) await new Promise((resolve) => sleepers.push(resolve));
    waiting += 1;
    await queue.add('bench', payload, { removeOnComplete: true });
  }
}

const began = process.hrtime.bigint();
function line() {
  process.stdout.write(`{"completed":${completed},"ns":${process.hrtime.bigint() - began}}\n`);
  return completed;
}
const queue = new Queue('bench', { connection });
queue.on('error', fail);
for (let i = 0; i < 64; i += 1) produce().catch(fail);
setTimeout(() => {
  const before = line();
  setTimeout(() => process.exit(line() > before ? 0 : 1), parseFloat(values.seconds) * 1000);
}, parseFloat(values.warmup) * 1000);
