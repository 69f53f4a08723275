import { useRoute, useRouter } from "vue-router";

/** What a page shows, kept in its address: it can be sent to a colleague, and Back works. */
export function useAddress() {
  const route = useRoute();
  const router = useRouter();
  return {
    text: (name: string): string => (typeof route.query[name] === "string" ? (route.query[name] as string) : ""),
    number: (name: string, otherwise: number): number => Number(route.query[name] ?? NaN) || otherwise,
    /** Empty values go out of the address. `step`: Back leads to what was before. */
    show(change: Record<string, string>, step = false): void {
      const query = { ...route.query, ...change };
      for (const key of Object.keys(query)) if (!query[key]) delete query[key];
      void (step ? router.push({ query, params: route.params }) : router.replace({ query, params: route.params }));
    },
  };
}

/** The system of an address, as the broker wants it: "-" is what belongs to none, which the broker calls "". */
export function systemOf(text: string): string | undefined {
  return text === "-" ? "" : text || undefined;
}
