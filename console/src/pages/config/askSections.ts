import { answer, api } from "@/api/client";

export interface Section {
  kind: string;
  name: string;
  system: string;
  place: "local" | "shared";
  file?: string;
  line?: number;
  node?: string;
  keys: Record<string, string>; // secrets as ********
  created?: { by: string; at_ms: number; number: number };
}
export interface Sections {
  sections: Section[];
  cursor?: string | null;
}

export async function askSections(wanted: { kind: string; q: string; limit: number; cursor: string }): Promise<Sections> {
  const query = Object.fromEntries(Object.entries(wanted).filter(([, v]) => v));
  const ask = api.GET as unknown as (path: string, how: object) => Promise<{ data?: Sections; error?: unknown; response: Response }>;
  return answer(ask("/api/v1/config/sections", { params: { query } }));
}
