// SPDX-License-Identifier: MIT
// Worker threads that pass objects and buffers, compression in the thread pool, sorts, digests.
'use strict';
const crypto = require('crypto');
const zlib = require('zlib');
const { promisify } = require('util');
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');

const digest = (data) => crypto.createHash('sha256').update(data).digest('hex').slice(0, 16);

function numbers(seed) {
    let state = seed;
    return (limit) => {
        state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
        return (state >>> 8) % limit;
    };
}

function build(seed, count) {
    const number = numbers(seed);
    const rows = [];
    for (let i = 0; i < count; i++) {
        rows.push({ id: i, key: number(1e6).toString(36), tags: Array.from({ length: number(6) }, () => number(100)) });
    }
    rows.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.id - b.id));
    return rows;
}

async function compressions() {
    const gzip = promisify(zlib.gzip), gunzip = promisify(zlib.gunzip), deflate = promisify(zlib.brotliCompress);
    const jobs = Array.from({ length: 12 }, async (_, i) => {
        const data = Buffer.from(JSON.stringify(build(i + 1, 3000)));
        const packed = await gzip(data);
        const same = (await gunzip(packed)).equals(data);
        const small = await deflate(data, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 4 } });
        return `${same} ${digest(data)} ${digest(small)}`;
    });
    return (await Promise.all(jobs)).join('\n');
}

function runWorker(seed) {
    return new Promise((resolve, reject) => {
        const worker = new Worker(__filename, { workerData: seed });
        const got = [];
        worker.on('message', (message) => got.push(digest(Buffer.from(message.bytes)) + message.rows.length));
        worker.on('error', reject);
        worker.on('exit', (code) => resolve(`${seed}: ${code} ${got.join(' ')}`));
    });
}

async function main() {
    console.log(digest(JSON.stringify(build(99, 60000))));
    console.log(await compressions());
    for (let round = 0; round < 3; round++) {
        console.log((await Promise.all([1, 2, 3, 4].map((n) => runWorker(round * 10 + n)))).join('\n'));
    }
    const keys = await promisify(crypto.pbkdf2)('secret', 'salt', 20000, 64, 'sha512');
    console.log(digest(keys));
}

function work() {
    for (let i = 0; i < 5; i++) {
        const rows = build(workerData * 7 + i, 4000);
        const bytes = new Uint8Array(Buffer.from(JSON.stringify(rows)));
        parentPort.postMessage({ rows, bytes }, [bytes.buffer]);
    }
}

if (isMainThread) {
    main();
} else {
    work();
}
