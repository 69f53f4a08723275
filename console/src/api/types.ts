/* The names of what the broker answers, from its contract (doc/openapi.yaml, schema.d.ts). */
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Session = Schemas["Session"];
export type Status = Schemas["Status"];
export type Topic = Schemas["Topic"];
export type Topics = Schemas["Topics"];
export type Node = Schemas["Nodes"]["nodes"][number];
