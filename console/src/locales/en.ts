/* All texts in English: each file is the part of its name. */
import { parts } from "./parts";

export default parts(import.meta.glob<object>("./en/*.json", { eager: true, import: "default" }));
