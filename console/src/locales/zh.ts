/* All texts in Chinese: each file is the part of its name. */
import { parts } from "./parts";

export default parts(import.meta.glob<object>("./zh/*.json", { eager: true, import: "default" }));
