/* What these pages use of the answers. */

export interface Session {
  user: string;
  role: "admin" | "operator" | "viewer";
  systems: string[];
  must_change: boolean;
  cluster?: { name: string; title: string; colour: string };
}

export interface Topic {
  topic: string;
  queue: string;
  name: string;
  system: string;
  state: string;
  why: string;
  paused: boolean;
  counts: { ready: number; running: number; retry: number; dead: number; oldest_ms: number | null } | null;
  rates: { accepted: number; done: number; failed: number };
}

export interface Status {
  version: string;
  node: string;
  ready: boolean;
  reasons: string[];
  topics: number;
  totals: { rates: { accepted: number; done: number; failed: number } };
  storages: { name: string; state: string; why: string; address: string }[];
}

export interface Node {
  node: string;
  storage: string;
  alive: boolean;
  seen_ms: number;
}
