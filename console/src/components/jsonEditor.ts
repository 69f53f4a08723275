/*
 * The editor behind JsonEditor.vue, in a file of its own: it is loaded when somebody edits. It lives in a shadow root, for
 * there CodeMirror adopts its styles by the CSSOM; elsewhere it would write a <style> element, which the CSP forbids.
 */
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { json, jsonParseLinter } from "@codemirror/lang-json";
import { bracketMatching, HighlightStyle, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { linter } from "@codemirror/lint";
import { Compartment, EditorState } from "@codemirror/state";
import { drawSelection, EditorView, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { looksLikeJson } from "./jsonText";

export interface Mounted {
  set(text: string): void;
  label(text: string): void;
  fault(text: string): void;
  focus(): void;
  destroy(): void;
}
export interface Wanted {
  text: string;
  label: string;
  readonly: boolean;
  change(text: string): void;
  pasted(text: string): boolean; // true: taken otherwise, for it is too large
}

const face = EditorView.theme({
  "&": { color: "var(--text)", backgroundColor: "var(--surface)", border: "1px solid var(--line)", borderRadius: "var(--radius)", minHeight: "220px", maxHeight: "420px" },
  "&:has([aria-invalid])": { borderColor: "var(--dead)" },
  "&.cm-focused": { outline: "2px solid var(--accent)", outlineOffset: "1px" },
  ".cm-scroller": { fontFamily: "var(--font-mono)", fontSize: "13px", lineHeight: "1.5", overflow: "auto" },
  ".cm-content": { caretColor: "var(--text)", minHeight: "200px" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  ".cm-gutters": { color: "var(--text-quiet)", backgroundColor: "var(--hover)", borderRight: "1px solid var(--line)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--accent-ground)" },
  ".cm-tooltip": { color: "var(--text)", backgroundColor: "var(--surface)", border: "1px solid var(--line)" },
});
const colours = HighlightStyle.define([
  { tag: tags.propertyName, color: "var(--accent)" },
  { tag: tags.string, color: "var(--ok)" },
  { tag: tags.number, color: "var(--failing)" },
  { tag: [tags.bool, tags.null], color: "var(--paused)" },
]);

export function mount(host: HTMLElement, wanted: Wanted): Mounted {
  const root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
  const labels = new Compartment();
  /* An id of the page means nothing in here: what is wrong is said again inside. */
  const said = document.createElement("p");
  said.id = "fault";
  said.hidden = true;
  root.append(said);
  let label = wanted.label;
  const named = () =>
    EditorView.contentAttributes.of({
      "aria-label": label,
      spellcheck: "false",
      autocapitalize: "off",
      ...(said.textContent ? { "aria-invalid": "true", "aria-describedby": said.id } : {}),
    });
  const faults = jsonParseLinter();
  let told = wanted.text; // what the page knows: a change that comes from there is not told back
  const view = new EditorView({
    root,
    parent: root,
    state: EditorState.create({
      doc: wanted.text,
      extensions: [
        lineNumbers(),
        EditorState.lineSeparator.of("\n"), // what ends with \r\n stays so
        history(),
        drawSelection(),
        indentOnInput(),
        bracketMatching(),
        json(),
        syntaxHighlighting(colours),
        linter((v) => (looksLikeJson(v.state.sliceDoc(0, 100)) ? faults(v) : [])), // any text is a job; JSON alone is checked
        keymap.of([...defaultKeymap, ...historyKeymap]), // Tab goes on to the next field
        EditorView.lineWrapping,
        EditorState.readOnly.of(wanted.readonly),
        labels.of(named()),
        face,
        EditorView.domEventHandlers({
          paste(event) {
            if (!wanted.pasted(event.clipboardData?.getData("text/plain") ?? "")) return false;
            event.preventDefault();
            return true;
          },
        }),
        EditorView.updateListener.of((u) => {
          if (!u.docChanged) return;
          const text = u.state.doc.toString();
          if (text !== told) wanted.change((told = text));
        }),
      ],
    }),
  });
  return {
    set(text) {
      if (text === told) return;
      told = text;
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } });
    },
    label(text) {
      label = text;
      view.dispatch({ effects: labels.reconfigure(named()) });
    },
    fault(text) {
      said.textContent = text;
      view.dispatch({ effects: labels.reconfigure(named()) });
    },
    focus: () => view.focus(),
    destroy() {
      view.destroy();
      said.remove();
    },
  };
}
