/* The names of what the broker answers. schema.d.ts is made from doc/openapi.yaml by the build. */
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Session = Schemas["Session"];
export type Topic = Schemas["Topic"];
