// A second reader of spec/vectors, independent of the Python: what needs no secret is computed again from the arguments.
// Usage: node loader.mjs DIRECTORY. No packages. Prints a line of JSON with how many tests of each function agreed.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

class Reject extends Error {
  constructor(code) { super(code); this.code = code; }
}

// ---- bytes ----------------------------------------------------------------------------------------------------------

const sha256 = (...parts) => createHash("sha256").update(Buffer.concat(parts)).digest();
const tagged = (tag, ...parts) => { const t = sha256(Buffer.from(tag)); return sha256(t, t, ...parts); };
const hex = (bytes) => bytes.toString("hex");
function octets(text, length) {
  const bytes = Buffer.from(text, "hex");
  if (bytes.length * 2 !== text.length) throw new Error(`no hex: ${text}`);
  if (length !== undefined && bytes.length !== length) throw new Reject("BAD_LENGTH");
  return bytes;
}
const big = (bytes) => BigInt("0x" + (hex(bytes) || "0"));
const bytes32 = (number) => Buffer.from(number.toString(16).padStart(64, "0"), "hex");
function little(number, size) {
  const out = Buffer.alloc(size);
  for (let rest = BigInt(number), i = 0; i < size; i++, rest >>= 8n) out[i] = Number(rest & 255n);
  return out;
}
function compact(number) {
  if (number < 0xfd) return Buffer.from([number]);
  return number <= 0xffff ? Buffer.concat([Buffer.from([0xfd]), little(number, 2)]) : Buffer.concat([Buffer.from([0xfe]), little(number, 4)]);
}
const sized = (bytes) => Buffer.concat([compact(bytes.length), bytes]);

// ---- secp256k1; a point is [x, y], null is the point at infinity; sums are in Jacobian coordinates --------------------

const P = 2n ** 256n - 2n ** 32n - 977n;
const N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
const G = [0x79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798n, 0x483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8n];
const mod = (a, m = P) => ((a % m) + m) % m;
function power(base, exponent) {
  let result = 1n;
  for (base = mod(base); exponent > 0n; exponent >>= 1n, base = mod(base * base)) if (exponent & 1n) result = mod(result * base);
  return result;
}
const inverse = (a) => power(a, P - 2n);
function doubled([x, y, z]) {
  const a = mod(x * x), b = mod(y * y), c = mod(b * b), d = mod(4n * x * b), e = 3n * a, f = mod(e * e - 2n * d);
  return [f, mod(e * (d - f) - 8n * c), mod(2n * y * z)];
}
function plus(p, [x2, y2]) { // Jacobian and affine
  if (p === null) return [x2, y2, 1n];
  const [x1, y1, z1] = p, zz = mod(z1 * z1), u = mod(x2 * zz), s = mod(y2 * z1 * zz), h = mod(u - x1), r = mod(s - y1);
  if (h === 0n) return r === 0n ? doubled(p) : null;
  const hh = mod(h * h), hhh = mod(h * hh), v = mod(x1 * hh), x = mod(r * r - hhh - 2n * v);
  return [x, mod(r * (v - x) - y1 * hhh), mod(z1 * h)];
}
function affine(p) {
  if (p === null) return null;
  const i = inverse(p[2]), ii = mod(i * i);
  return [mod(p[0] * ii), mod(p[1] * ii * i)];
}
const add = (a, b) => (a === null ? b : b === null ? a : affine(plus([...a, 1n], b)));
function times(scalar, point) {
  let result = null;
  for (const bit of mod(scalar, N).toString(2)) {
    if (result !== null) result = doubled(result);
    if (bit === "1") result = plus(result, point);
  }
  return affine(result);
}
function lift(x) {
  if (x >= P) throw new Reject("BAD_KEY");
  const square = mod(x * x * x + 7n), y = power(square, (P + 1n) / 4n);
  if (mod(y * y) !== square) throw new Reject("BAD_KEY");
  return [x, y & 1n ? P - y : y];
}
function plainPoint(bytes) {
  if (bytes[0] !== 2 && bytes[0] !== 3) throw new Reject("BAD_KEY");
  const [x, y] = lift(big(bytes.subarray(1)));
  return bytes[0] === 2 ? [x, y] : [x, P - y];
}
const plainBytes = (point) => Buffer.concat([Buffer.from([point[1] & 1n ? 3 : 2]), bytes32(point[0])]);

// ---- keys, scripts, outputs -----------------------------------------------------------------------------------------

function aggregate(texts) { // BIP-327 KeyAgg(KeySort(keys))
  const keys = texts.map((text) => octets(text, 33)).sort(Buffer.compare);
  if (keys.length === 0) throw new Reject("BAD_KEY");
  const list = tagged("KeyAgg list", ...keys);
  const second = keys.find((key) => !key.equals(keys[0]));
  let sum = null;
  for (const key of keys) {
    const factor = second && key.equals(second) ? 1n : mod(big(tagged("KeyAgg coefficient", list, key)), N);
    sum = add(sum, times(factor, plainPoint(key)));
  }
  if (sum === null) throw new Reject("BAD_KEY");
  return { keys, point: sum };
}
function tweaked(internal, root) { // BIP-341; 32 bytes, and a root or nothing
  const tweak = tagged("TapTweak", internal, root ?? Buffer.alloc(0));
  return { tweak, point: add(lift(big(internal)), times(big(tweak), G)) };
}
const p2tr = (point) => Buffer.concat([Buffer.from([0x51, 0x20]), bytes32(point[0])]);
const leafHash = (script) => tagged("TapLeaf", Buffer.from([0xc0]), sized(script));
const branch = (a, b) => tagged("TapBranch", ...(Buffer.compare(a, b) <= 0 ? [a, b] : [b, a]));
function tree(scripts) { // levels from the leaves to the root; an odd one goes up alone
  const levels = [scripts.map(leafHash)];
  while (levels.at(-1).length > 1) {
    const below = levels.at(-1), level = [];
    for (let i = 0; i < below.length; i += 2) level.push(i + 1 < below.length ? branch(below[i], below[i + 1]) : below[i]);
    levels.push(level);
  }
  const root = levels.at(-1)[0];
  const path = (index) => levels.slice(0, -1).flatMap((level, depth) => { const s = level[(index >> depth) ^ 1]; return s ? [s] : []; });
  return { root, path };
}
function number(value) { // a script's push of a number
  if (value >= 1 && value <= 16) return Buffer.from([0x50 + value]);
  const out = [];
  for (let rest = value; rest > 0; rest = Math.floor(rest / 256)) out.push(rest % 256);
  if (out.at(-1) & 0x80) out.push(0);
  return Buffer.from([out.length, ...out]);
}
function lockScript({ owner, kind, blocks }) {
  const key = octets(owner, 33);
  if (kind === "csv" && (blocks < 0 || blocks > 65535)) throw new Reject("LOCK_TOO_LONG");
  if (blocks <= 0 || blocks >= 500000000) throw new Reject("BAD_LOCK");
  return Buffer.concat([Buffer.from([0x20]), key.subarray(1), Buffer.from([0xad]), number(blocks), Buffer.from([kind === "csv" ? 0xb2 : 0xb1])]);
}
function scriptOf(output) {
  if (output.form === "anchor") return octets("51024e73");
  if (output.form === "script") return octets(output.script_pubkey);
  const root = output.lock ? tree([lockScript(output.lock)]).root : undefined;
  return p2tr(tweaked(bytes32(aggregate(output.signers).point[0]), root).point);
}

// ---- transactions ---------------------------------------------------------------------------------------------------

const outpoint = (input) => Buffer.concat([octets(input.txid, 32).reverse(), little(input.vout, 4)]);
const outputBytes = (output) => Buffer.concat([little(output.amount_sat, 8), sized(octets(output.script_pubkey))]);
function serialise(tx) {
  return Buffer.concat([
    little(tx.version, 4), compact(tx.inputs.length), ...tx.inputs.flatMap((i) => [outpoint(i), Buffer.from([0]), little(i.sequence, 4)]),
    compact(tx.outputs.length), ...tx.outputs.map(outputBytes), little(tx.lock_time, 4),
  ]);
}
const txid = (bytes) => hex(sha256(sha256(bytes)).reverse());
function parse(bytes, complete = false) { // complete: with witnesses
  let at = 0;
  const take = (size) => { if (at + size > bytes.length) throw new Reject("BAD_TRANSACTION"); return bytes.subarray(at, (at += size)); };
  const whole = (size) => Number(big(Buffer.from(take(size)).reverse()));
  const count = () => { const first = whole(1); return first < 0xfd ? first : first === 0xfd ? whole(2) : whole(4); };
  const version = whole(4);
  if (complete && hex(take(2)) !== "0001") throw new Reject("BAD_TRANSACTION");
  const inputs = Array.from({ length: count() }, () => { const id = hex(Buffer.from(take(32)).reverse()), vout = whole(4); take(count()); return { txid: id, vout, sequence: whole(4) }; });
  const outputs = Array.from({ length: count() }, () => { const amount_sat = whole(8); return { amount_sat, script_pubkey: hex(take(count())) }; });
  const witnesses = complete ? inputs.map(() => Array.from({ length: count() }, () => Buffer.from(take(count())))) : [];
  const tx = { version, inputs, outputs, lock_time: whole(4), witnesses };
  if (at !== bytes.length || inputs.length === 0) throw new Reject("BAD_TRANSACTION");
  return tx;
}
function sighash(tx, spent, index, type, script) { // BIP-341, BIP-342
  if (![0, 1, 2, 3, 0x81, 0x82, 0x83].includes(type) || index < 0 || index >= tx.inputs.length || spent.length !== tx.inputs.length) throw new Reject("BAD_SIGHASH");
  const anyone = type & 0x80, base = type & 3, parts = [Buffer.from([0, type]), little(tx.version, 4), little(tx.lock_time, 4)];
  if (base === 3 && index >= tx.outputs.length) throw new Reject("BAD_SIGHASH");
  if (!anyone) parts.push(sha256(...tx.inputs.map(outpoint)), sha256(...spent.map((s) => little(s.amount_sat, 8))), sha256(...spent.map((s) => sized(octets(s.script_pubkey)))), sha256(...tx.inputs.map((i) => little(i.sequence, 4))));
  if (base < 2) parts.push(sha256(...tx.outputs.map(outputBytes)));
  parts.push(Buffer.from([script === null ? 0 : 2]));
  if (anyone) parts.push(outpoint(tx.inputs[index]), outputBytes(spent[index]), little(tx.inputs[index].sequence, 4));
  else parts.push(little(index, 4));
  if (base === 3) parts.push(sha256(outputBytes(tx.outputs[index])));
  if (script !== null) parts.push(leafHash(octets(script)), Buffer.from([0, 0xff, 0xff, 0xff, 0xff]));
  return hex(tagged("TapSighash", ...parts));
}
const MONEY = 2100000000000000;
function build({ version, lock_time, inputs, outputs }) {
  if (lock_time < 0 || lock_time >= 500000000) throw new Reject("BAD_LOCK");
  const sequence = (blocks) => { if (blocks === null) return 0xfffffffd; if (blocks < 0 || blocks > 65535) throw new Reject("LOCK_TOO_LONG"); return blocks; };
  const key = (code, make) => { try { return make(); } catch (e) { if (e instanceof Reject && e.code === "BAD_KEY") throw new Reject(code); throw e; } };
  const tx = {
    version, lock_time,
    inputs: inputs.map((i) => ({ txid: hex(octets(i.txid, 32)), vout: i.vout, sequence: sequence(i.relative_lock_blocks) })),
    outputs: key("BAD_TRANSACTION", () => outputs.map((o) => ({ amount_sat: o.amount_sat, script_pubkey: hex(scriptOf(o)) }))),
  };
  const places = new Set(tx.inputs.map((i) => `${i.txid}:${i.vout}`));
  const total = tx.outputs.reduce((sum, o) => sum + o.amount_sat, 0);
  if (!tx.inputs.length || !tx.outputs.length || places.size !== tx.inputs.length || total > MONEY || version < 0 || version > 0xffffffff) throw new Reject("BAD_TRANSACTION");
  if (tx.outputs.some((o) => o.amount_sat < 0) || tx.inputs.some((i) => i.vout < 0)) throw new Reject("BAD_TRANSACTION");
  const spent = inputs.map((i) => ({ amount_sat: i.output.amount_sat, script_pubkey: hex(scriptOf(i.output)) }));
  const bytes = serialise(tx);
  return { transaction: hex(bytes), txid: txid(bytes), spent, sighashes: tx.inputs.map((_, n) => sighash(tx, spent, n, 0, null)) };
}
// ---- commitments: BOLT 3's keys, the scripts of zero-fee taproot channels ---------------------------------------------

const push = (bytes) => Buffer.concat([Buffer.from([bytes.length]), bytes]);
const x = (point) => bytes32(point[0]);
function lockLeaf(key, blocks, opcode) {
  return Buffer.concat([push(key), Buffer.from([0xad]), number(blocks), Buffer.from([opcode])]);
}
function htlcTree(htlc, holder, other) { // the timeout leaf, then the success leaf
  const hash = push(createHash("ripemd160").update(octets(htlc.payment_hash, 32)).digest());
  const size = Buffer.from([0x82, 0x01, 0x20, 0x88, 0xa9]); // SIZE 32 EQUALVERIFY HASH160
  if (htlc.direction === "offered")
    return [Buffer.concat([push(holder), Buffer.from([0xad]), push(other), Buffer.from([0xac])]), Buffer.concat([push(other), Buffer.from([0xad]), size, hash, Buffer.from([0x87])])];
  return [lockLeaf(other, htlc.cltv_expiry, 0xb1), Buffer.concat([size, hash, Buffer.from([0x88]), push(holder), Buffer.from([0xad]), push(other), Buffer.from([0xac])])];
}
function commitment(given) {
  const bad = (wrong) => { if (wrong) throw new Reject("BAD_COMMITMENT"); };
  if (given.funding_keys.length !== 2) throw new Reject("BAD_KEY");
  const { capacity_sat, to_self_delay, htlcs, number: count } = given;
  bad(capacity_sat <= 0 || to_self_delay < 1 || to_self_delay > 65535 || count < 0 || count >= 2 ** 48);
  bad(given.to_local_msat < 0 || given.to_remote_msat < 0 || new Set(htlcs.map((h) => `${h.direction} ${h.number}`)).size !== htlcs.length);
  bad(htlcs.some((h) => h.amount_msat <= 0 || h.cltv_expiry <= 0 || h.cltv_expiry >= 500000000));
  bad(given.to_local_msat + given.to_remote_msat + htlcs.reduce((sum, h) => sum + h.amount_msat, 0) !== capacity_sat * 1000);
  const point = octets(given.per_commitment_point, 33), P0 = plainPoint(point);
  const derived = (base) => { const raw = octets(base, 33); return add(plainPoint(raw), times(big(sha256(point, raw)), G)); };
  const theirs = octets(given.other.revocation, 33);
  const revocation = x(add(times(big(sha256(theirs, point)), plainPoint(theirs)), times(big(sha256(point, theirs)), P0)));
  const holder = x(derived(given.holder.htlc)), other = x(derived(given.other.htlc));
  const made = (role, sat, internal, leaves, order = [0, 0]) =>
    ({ role, sat, order, script: p2tr(tweaked(internal, leaves.length ? tree(leaves).root : undefined).point) });
  const outputs = [
    made("to_local", Math.floor(given.to_local_msat / 1000), revocation, [lockLeaf(x(derived(given.holder.delayed_payment)), to_self_delay, 0xb2)]),
    made("to_remote", Math.floor(given.to_remote_msat / 1000), octets(given.other.payment, 33).subarray(1), []),
    ...htlcs.map((h) => made("htlc", Math.floor(h.amount_msat / 1000), revocation, htlcTree(h, holder, other), [h.cltv_expiry, h.number])),
  ].filter((one) => one.sat >= given.dust_limit_sat);
  const rest = capacity_sat - outputs.reduce((sum, one) => sum + one.sat, 0);
  outputs.push({ role: "anchor", sat: Math.min(rest, 240), order: [0, 0], script: octets("51024e73") });
  outputs.sort((a, b) => a.sat - b.sat || Buffer.compare(a.script, b.script) || a.order[0] - b.order[0] || a.order[1] - b.order[1]); // BIP-69
  const sides = given.holder_opened ? [given.holder, given.other] : [given.other, given.holder];
  const obscured = BigInt(count) ^ big(sha256(...sides.map((s) => octets(s.payment, 33))).subarray(26));
  const tx = {
    version: 3, lock_time: 0x20000000 + Number(obscured & 0xffffffn),
    inputs: [{ txid: given.funding_txid, vout: given.funding_vout, sequence: 0x80000000 + Number(obscured >> 24n) }],
    outputs: outputs.map((one) => ({ amount_sat: one.sat, script_pubkey: hex(one.script) })),
  };
  const funding = tweaked(bytes32(aggregate(given.funding_keys).point[0])).point;
  const spent = [{ amount_sat: capacity_sat, script_pubkey: hex(p2tr(funding)) }], bytes = serialise(tx);
  return { transaction: hex(bytes), txid: txid(bytes), roles: outputs.map((one) => one.role), spent, sighashes: [sighash(tx, spent, 0, 0, null)] };
}

function schnorr(publicKey, message, signature) { // BIP-340
  let point;
  try { point = lift(big(publicKey)); } catch { return false; }
  const r = big(signature.subarray(0, 32)), s = big(signature.subarray(32));
  if (r >= P || s >= N) return false;
  const e = big(tagged("BIP0340/challenge", signature.subarray(0, 32), publicKey, message));
  const R = add(times(s, G), times(N - mod(e, N), point));
  return R !== null && !(R[1] & 1n) && R[0] === r;
}

// ---- messages: BOLT 1's streams, by the table of all fields ------------------------------------------------------------

const MESSAGES = JSON.parse(readFileSync(new URL("../../spec/schema/messages.json", import.meta.url), "utf8"));
const named = (rows) => new Map(rows.map((one) => [one.name, one]));
const FORMS = named(MESSAGES.forms), RECORDS = named(MESSAGES.records), KINDS = named(MESSAGES.messages);
const fieldsOf = (message) => (message.family === MESSAGES.envelope.family ? [...MESSAGES.envelope.fields, ...message.fields] : message.fields);
const bad = (code, wrong) => { if (wrong) throw new Reject(code); };
const wide = (number, size) => little(number, size).reverse();
function bigSize(number) {
  const value = BigInt(number);
  if (value < 0xfdn) return wide(value, 1);
  const width = value < 1n << 16n ? 2 : value < 1n << 32n ? 4 : 8;
  return Buffer.concat([Buffer.from([{ 2: 0xfd, 4: 0xfe, 8: 0xff }[width]]), wide(value, width)]);
}
const after = (bytes) => Buffer.concat([bigSize(bytes.length), bytes]);
function reader(bytes) {
  let at = 0;
  const take = (size) => { bad("TRUNCATED", BigInt(at) + BigInt(size) > BigInt(bytes.length)); return bytes.subarray(at, (at += Number(size))); };
  const count = () => {
    const first = take(1)[0], width = { 0xfd: 2, 0xfe: 4, 0xff: 8 }[first];
    const value = width ? big(take(width)) : BigInt(first);
    bad("NOT_MINIMAL", bigSize(value).length !== 1 + (width ?? 0));
    return value;
  };
  return { more: () => at < bytes.length, count, value: () => take(count()) };
}
function values(bytes) {
  const from = reader(bytes), found = new Map();
  let last = -1n;
  while (from.more()) {
    const type = from.count();
    bad("NOT_ASCENDING", type <= last);
    found.set((last = type), from.value());
  }
  return found;
}
function parts(bytes) { const from = reader(bytes), found = []; while (from.more()) found.push(from.value()); return found; }
const letters = (text) => [...text].length;
function within(form, value, bytes) {
  const size = form.kind === "bytes" ? bytes.length : form.kind === "text" ? letters(value) : form.kind === "number" ? value : 0;
  const listed = (form.sizes && !form.sizes.includes(bytes.length)) || (form.choices && !form.choices.includes(value));
  bad("BAD_FIELD", listed || size < (form.low ?? 0) || size > (form.high ?? size) || (form.kind === "outpoint" && bytes.length !== 36 && !(form.optional && !bytes.length)));
  return value;
}
function readValue(name, bytes) {
  if (RECORDS.has(name)) return readRecord(RECORDS.get(name).fields, bytes);
  const form = FORMS.get(name);
  if (form.kind === "number") { bad("TRUNCATED", bytes.length > 8); bad("NOT_MINIMAL", bytes[0] === 0); return within(form, Number(big(bytes)), bytes); }
  if (form.kind === "signed") { bad("BAD_FIELD", bytes.length !== 8); return Number(bytes.readBigInt64BE()); }
  if (form.kind === "outpoint") return within(form, bytes.length ? `${hex(bytes.subarray(0, 32))}:${big(bytes.subarray(32))}` : "", bytes);
  if (form.kind === "bytes") return within(form, hex(bytes), bytes);
  try { return within(form, new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes), bytes); } catch { throw new Reject("BAD_FIELD"); }
}
function readField(form, bytes) {
  const words = form.split(" "), element = words.at(-1);
  if (words[0] === "list") return parts(bytes).map((one) => readValue(element, one));
  if (words[0] !== "map") return readValue(element, bytes);
  const all = parts(bytes), keys = all.filter((_, n) => n % 2 === 0);
  bad("BAD_FIELD", all.length % 2);
  bad("NOT_ASCENDING", keys.some((key, n) => n && Buffer.compare(keys[n - 1], key) >= 0));
  return Object.fromEntries(keys.map((key, n) => [readValue(words[1], key), readValue(element, all[2 * n + 1])]));
}
function readRecord(fields, bytes) {
  const found = values(bytes), known = new Set(fields.map((field) => BigInt(field.type)));
  bad("UNKNOWN_TYPE", [...found.keys()].some((type) => !known.has(type) && type % 2n === 0n));
  bad("BAD_FIELD", fields.some((field) => !field.optional && !found.has(BigInt(field.type))));
  return Object.fromEntries(fields.map((field) => [field.name, found.has(BigInt(field.type)) ? readField(field.form, found.get(BigInt(field.type))) : null]));
}
function fromBinary(bytes) {
  bad("TRUNCATED", bytes.length < 2);
  const type = bytes.readUInt16BE(), message = MESSAGES.messages.find((one) => one.type === type);
  if (!message) { bad("UNKNOWN_TYPE", type % 2 === 0); return null; }
  const found = readRecord(fieldsOf(message), bytes.subarray(2)), around = message.family === MESSAGES.envelope.family ? MESSAGES.envelope.fields.map((field) => field.name) : [];
  const inside = Object.entries(found).filter(([name]) => !around.includes(name));
  return { ...Object.fromEntries(around.map((name) => [name, found[name]])), message: message.name, body: Object.fromEntries(inside) };
}
const wrongJson = (wrong) => bad("BAD_MESSAGE", wrong);
function writeValue(name, value) {
  if (RECORDS.has(name)) return writeRecord(RECORDS.get(name).fields, value);
  const form = FORMS.get(name);
  wrongJson(typeof value !== (form.kind === "number" || form.kind === "signed" ? "number" : "string"));
  let bytes;
  if (form.kind === "number") { wrongJson(value < 0); const text = value.toString(16); bytes = value ? Buffer.from(text.length % 2 ? "0" + text : text, "hex") : Buffer.alloc(0); }
  else if (form.kind === "signed") { bytes = Buffer.alloc(8); bytes.writeBigInt64BE(BigInt(value)); }
  else if (form.kind === "outpoint") { const [id, index] = value.split(":"); bytes = value ? Buffer.concat([octets(id, 32), wide(index, 4)]) : Buffer.alloc(0); }
  else { wrongJson(form.kind === "bytes" && !/^([0-9a-f]{2})*$/.test(value)); bytes = Buffer.from(value, form.kind === "bytes" ? "hex" : "utf8"); }
  try { within(form, value, bytes); } catch { wrongJson(true); }
  return bytes;
}
function writeField(form, value) {
  const words = form.split(" "), element = words.at(-1);
  if (words[0] === "list") return Buffer.concat(value.map((one) => after(writeValue(element, one))));
  if (words[0] !== "map") return writeValue(element, value);
  const pairs = Object.entries(value).map(([key, one]) => [writeValue(words[1], key), writeValue(element, one)]).sort((a, b) => Buffer.compare(a[0], b[0]));
  return Buffer.concat(pairs.flat().map(after));
}
function writeRecord(fields, given) {
  wrongJson(fields.some((field) => !(field.name in given)) || Object.keys(given).some((name) => !fields.some((field) => field.name === name)));
  const there = fields.filter((field) => !(field.optional && given[field.name] === null));
  return Buffer.concat(there.flatMap((field) => [bigSize(field.type), after(writeField(field.form, given[field.name]))]));
}
function toBinary({ message, body, ...around }) {
  wrongJson(!KINDS.has(message));
  return Buffer.concat([wide(KINDS.get(message).type, 2), writeRecord(fieldsOf(KINDS.get(message)), { ...around, ...body })]);
}

// ---- fees --------------------------------------------------------------------------------------------------------------

const whole = ({ vbytes, fee_sat, anchor_sat = 0 }) => { bad("BAD_TRANSACTION", vbytes < 1 || fee_sat < 0 || anchor_sat < 0); return { vbytes, fee: fee_sat, anchor: anchor_sat }; };
const childFee = ({ vbytes, fee }, child, price) => Math.max(price * (vbytes + child) - fee, price * child);
function raised({ parent, child_vbytes, price_sat_per_vb, coin_sat, payout_script }) {
  const from = whole(parent), fee_sat = childFee(from, child_vbytes, price_sat_per_vb), change_sat = coin_sat + from.anchor - fee_sat;
  bad("COIN_TOO_SMALL", change_sat < 3 * (8 + 1 + payout_script.length / 2 + 67)); // Core's dust limit of a witness output
  return { fee_sat, change_sat };
}
function reserved({ path, child_vbytes, price_sat_per_vb, dust_sat, coin_sat }) {
  let needed = 0, least = 0;
  for (const one of path.map(whole)) {
    if (one.fee >= price_sat_per_vb * one.vbytes) continue;
    needed += childFee(one, child_vbytes, price_sat_per_vb) - one.anchor;
    least = Math.max(least, needed + dust_sat);
  }
  bad("COIN_TOO_SMALL", coin_sat < least);
  return { needed_sat: least };
}

const FUNCTIONS = {
  "fee.child": raised,
  "fee.reserve": reserved,
  "tlv.stream": ({ stream }) => ({ values: [...values(octets(stream))].map(([type, value]) => ({ type: String(type), value: hex(value) })) }),
  "message.to_binary": ({ message }) => ({ binary: hex(toBinary(message)) }),
  "message.from_binary": ({ binary }) => ({ message: fromBinary(octets(binary)) }),
  "dw.nsequence": ({ step_blocks, states, index }) => {
    if (step_blocks < 1) throw new Reject("BAD_STEP");
    if (index < 0 || index >= states) throw new Reject("BAD_INDEX");
    const blocks = step_blocks * (states - 1 - index);
    if (blocks > 65535) throw new Reject("LOCK_TOO_LONG");
    return { blocks, nsequence: blocks };
  },
  "hash.tagged": ({ tag, data }) => ({ hash: hex(tagged(tag, octets(data))) }),
  "key.aggregate": ({ public_keys, merkle_root }) => {
    const { keys, point } = aggregate(public_keys);
    const output = tweaked(bytes32(point[0]), merkle_root == null ? undefined : octets(merkle_root, 32)).point;
    return { sorted: keys.map(hex), aggregate: hex(plainBytes(point)), output_key: hex(bytes32(output[0])), script_pubkey: hex(p2tr(output)) };
  },
  "script.lock": (given) => { const script = lockScript(given); return { script: hex(script), leaf_hash: hex(leafHash(script)) }; },
  "taproot.output": ({ internal_key, scripts }) => {
    const internal = octets(internal_key, 32), made = scripts.length ? tree(scripts.map((s) => octets(s))) : null;
    const { tweak, point } = tweaked(internal, made?.root), parity = Number(point[1] & 1n);
    const control = (n) => hex(Buffer.concat([Buffer.from([0xc0 | parity]), internal, ...made.path(n)]));
    return { merkle_root: made ? hex(made.root) : null, tweak: hex(tweak), output_key: hex(bytes32(point[0])), parity, script_pubkey: hex(p2tr(point)), control_blocks: scripts.map((_, n) => control(n)) };
  },
  "tx.build": build,
  "tx.commitment": commitment,
  "sighash.taproot": ({ transaction, spent, input, hash_type = 0, script = null }) => {
    const bytes = octets(transaction), tx = parse(bytes);
    return { sighash: sighash(tx, spent, input, hash_type, script), txid: txid(bytes) };
  },
  "schnorr.verify": ({ public_key, message, signature }) => ({ valid: schnorr(octets(public_key, 32), octets(message, 32), octets(signature, 64)) }),
};

// ---- the files ------------------------------------------------------------------------------------------------------

const sorted = (value) => Array.isArray(value) ? value.map(sorted) : value && typeof value === "object" ? Object.fromEntries(Object.keys(value).sort().map((k) => [k, sorted(value[k])])) : value;
const same = (a, b) => JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
const agreed = {}, notComputed = {}, wrong = [];
let transcripts = 0, planned = 0, outcomes = 0;
for (const name of readdirSync(process.argv[2]).filter((n) => n.endsWith(".json")).sort()) {
  const file = JSON.parse(readFileSync(join(process.argv[2], name), "utf8"));
  if (file.format !== "superscalar-vectors-1" || file.count !== file.tests.length) wrong.push(`${name}: not a whole file of vectors`);
  for (const test of file.tests) {
    if (file.layer === "L1") {
      const well = test.node.state.status && test.steps.every((s) => s.given || (s.restart && s.expect.state.status) || (s.event.name && (s.expect.reject?.code || s.expect.state.status)));
      if (well) transcripts++; else wrong.push(`${test.id}: malformed`);
      continue;
    }
    if (file.layer === "L3") { // a story: its transactions are what it says, and each spends another one or the coin
      const made = new Set(test.story.transactions.map((one) => one.txid));
      const coins = new Set(), named = [...test.story.held, ...test.story.others.map((one) => one.txid), ...test.expect.never];
      const outputs = new Map();
      for (const one of test.story.transactions) {
        const tx = parse(octets(one.transaction), true), id = txid(serialise(tx));
        const spends = tx.inputs.map((i) => ({ outpoint: `${i.txid}:${i.vout}`, relative_lock_blocks: i.sequence > 0xffff ? null : i.sequence }));
        const height = tx.lock_time < 500000000 ? tx.lock_time : 0; // BOLT 3 hides a commitment's number in a time that is past
        if (id !== one.txid || !same(spends, one.spends) || height !== one.lock_time) wrong.push(`${test.id}: ${one.name}`);
        tx.outputs.forEach((output, n) => outputs.set(`${id}:${n}`, output));
        for (const { outpoint } of spends) if (!outputs.has(outpoint)) coins.add(outpoint);
        const spent = outputs.get(spends[0].outpoint) ?? test.story.coins[0], [signature, ...script] = tx.witnesses[0];
        if (script.length) continue; // a lock path: Core's code runs its script
        const key = octets(spent.script_pubkey).subarray(2);
        if (!schnorr(key, octets(sighash(tx, [spent], 0, 0, null)), signature)) wrong.push(`${test.id}: ${one.name} is not signed`);
      }
      if (coins.size !== test.story.coins.length || !named.every((id) => made.has(id))) wrong.push(`${test.id}: not whole`);
      outcomes++;
      continue;
    }
    if (test.fn === "plan.transactions") { // the tree itself is not grown here: its txids and what hangs on what are
      const known = new Set(test.args.terms.coins.map((c) => c.txid));
      for (const one of test.expect.ok?.transactions ?? []) {
        const tx = parse(octets(one.transaction));
        if (txid(octets(one.transaction)) !== one.txid || !tx.inputs.every((i) => known.has(i.txid))) wrong.push(`${test.id}: ${one.name}`);
        known.add(one.txid);
        planned++;
      }
      continue;
    }
    const compute = FUNCTIONS[test.fn];
    if (!compute) { notComputed[test.fn] = (notComputed[test.fn] ?? 0) + 1; continue; }
    let answer;
    try { answer = { ok: compute(test.args) }; } catch (e) { if (!(e instanceof Reject)) throw e; answer = { reject: { code: e.code } }; }
    if (same(answer, test.expect)) agreed[test.fn] = (agreed[test.fn] ?? 0) + 1;
    else wrong.push(`${test.id}: ${JSON.stringify(answer)} instead of ${JSON.stringify(test.expect)}`);
  }
}
console.log(JSON.stringify({ agreed, not_computed: notComputed, transcripts, planned, outcomes, wrong }));
process.exitCode = wrong.length ? 1 : 0;
