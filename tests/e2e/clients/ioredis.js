// ioredis.js HOST PORT: found by NODE_PATH.
const Redis = require("ioredis");
const [host, port] = process.argv.slice(2);
(async () => {
  const said = [];
  const r = new Redis({ host, port: +port, password: "q:pw", retryStrategy: null });
  said.push((await r.ping()) === "PONG" ? "ping" : "no ping");
  const reply = JSON.parse(await r.lpush("q/t", "a", "b"));
  said.push(reply.jobs.length === 2 ? "push" : JSON.stringify(reply));
  const all = await Promise.all([...Array(100).keys()].map((i) => r.lpush("q", "job " + i)));
  const ids = new Set(all.map((x) => JSON.parse(x).jobs[0]));
  said.push(ids.size === 100 ? "pipeline" : "bad pipeline");
  said.push(await r.call("NOSUCH").then(() => "no error", (e) => (/unknown command/.test(e.message) ? "error" : e.message)));
  said.push(/redis_version/.test(await r.info()) ? "info" : "no info");
  r.disconnect();
  const bad = new Redis({ host, port: +port, password: "q:no", retryStrategy: null, maxRetriesPerRequest: 0 });
  bad.on("error", () => {});
  said.push(await bad.ping().then(() => "let in", () => "refused"));
  bad.disconnect();
  console.log(said.join(" "));
})().catch((e) => { console.log("failed:", e.message); process.exit(1); });
