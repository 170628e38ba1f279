// An HTTP server around the public peer's package, which has none that answers searches:
// as little of one as Node can have. `node peer_npm.js PORT DIMENSION HITS EF...`.
// The package takes `efSearch` with a query and does not heed it: an index for each.
"use strict";
const http = require("node:http");
const { VectorDb } = require("@ruvector/core");

const [port, dimensions, hits, ...efs] = process.argv.slice(2).map(Number);
const indexes = new Map();
for (const efSearch of efs) {
  const hnswConfig = { m: 16, efConstruction: 200, efSearch, maxElements: 1_000_000 };
  indexes.set(efSearch, new VectorDb({ dimensions, distanceMetric: "Cosine", hnswConfig }));
}

function floats(body) {
  return new Float32Array(body.buffer.slice(body.byteOffset, body.byteOffset + body.length));
}

// A body is the f32 of one vector to search for, or of many rows to keep.
const work = {
  async "/query"(body, asked) {
    const index = indexes.get(Number(asked.get("ef")));
    const found = await index.search({ vector: floats(body), k: hits });
    return found.map(({ id, score }) => ({ id, score }));
  },
  async "/fill"(body, asked) {
    const all = floats(body);
    const first = Number(asked.get("first"));
    const entries = [];
    for (let row = 0; row * dimensions < all.length; row++) {
      const vector = all.slice(row * dimensions, (row + 1) * dimensions);
      entries.push({ id: `i${first + row}`, vector });
    }
    for (const index of indexes.values()) await index.insertBatch(entries);
    return { rows: entries.length };
  },
};

const server = http.createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", async () => {
    const { pathname, searchParams } = new URL(request.url, "http://localhost");
    try {
      const text = JSON.stringify(await work[pathname](Buffer.concat(parts), searchParams));
      response.writeHead(200, { "content-length": Buffer.byteLength(text) }).end(text);
    } catch (error) {
      response.writeHead(500).end(String(error));
    }
  });
});
server.keepAliveTimeout = 600_000;
server.listen(port, "127.0.0.1");
