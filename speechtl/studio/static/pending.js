// Takes that the studio has not confirmed: kept in the browser's own storage, so that neither a crash nor a lost connection loses one.

import { request } from "./ui.js";

const STORE = "takes";
let opened = null;
const underway = new Set(); // paths that this window sends at this moment

function database() {
  opened ??= new Promise((resolve, reject) => {
    const opening = indexedDB.open("speechtl-studio", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: "path" });
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error);
  });
  return opened;
}

async function inStore(mode, work) {
  const store = (await database()).transaction(STORE, mode).objectStore(STORE);
  return new Promise((resolve, reject) => {
    const asked = work(store);
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
}

const kept = (work) => work.catch(() => undefined); // private windows may have no storage; then only the connection protects a take

// What the studio refuses for good would be refused again. A full disk, a silent studio, a token that this browser lacks (403), a name
// that is not the studio's (421), or another window that sends the same take (409) will not stay so.
const PASSING = [403, 409, 421];
export const passes = (error) => !error.status || error.status >= 500 || PASSING.includes(error.status);

export async function send(path, blob) {
  underway.add(path);
  await kept(inStore("readwrite", (store) => store.put({ path, blob })));
  return deliver(path, blob);
}

async function deliver(path, blob) {
  underway.add(path);
  try {
    const answer = await request("PUT", path, blob, "audio/wav");
    await kept(inStore("readwrite", (store) => store.delete(path)));
    return answer;
  } catch (error) {
    if (!passes(error)) await kept(inStore("readwrite", (store) => store.delete(path)));
    throw error;
  } finally {
    underway.delete(path);
  }
}

export async function waiting() {
  return (await kept(inStore("readonly", (store) => store.getAll()))) || [];
}

export async function sendAll() {
  let sent = 0;
  for (const { path, blob } of await waiting()) {
    if (underway.has(path)) continue;
    try { await deliver(path, blob); sent++; } catch (error) { if (error.silent) break; }
  }
  return sent;
}
