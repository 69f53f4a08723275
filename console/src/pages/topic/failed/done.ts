/** What was done to one job on this page. `copy`: the id of its edited copy. */
export interface Done {
  what: "replayed" | "purged" | "edited";
  copy?: string;
}
