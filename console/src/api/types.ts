/* The names of what the broker answers. schema.d.ts is made from doc/openapi.yaml by the build. */
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Session = Schemas["Session"];
export type Topic = Schemas["Topic"];
export type Act = Schemas["Act"];
export type FailedJob = Schemas["FailedJob"];
export type FailedGroups = Schemas["FailedGroups"];
export type Group = FailedGroups["groups"][number];
export type TopicJobs = Schemas["TopicJobs"];
export type JobPlaces = Schemas["JobPlaces"];
export type JobPlace = JobPlaces["places"][number];
export type User = Schemas["User"];
export type Token = Schemas["Token"];
export type AuditRow = Schemas["AuditRow"];
export type Alert = Schemas["Alert"];
export type Revision = Schemas["Revision"];
export type Shared = Schemas["Shared"];
export type Change = Schemas["Change"];
export type TopicWhole = Schemas["TopicWhole"];
export type TopicNodes = Schemas["TopicNodes"];
export type TopicNode = TopicNodes["nodes"][number];
export type Problem = Schemas["Problems"]["problems"][number];
