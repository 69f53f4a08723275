/** The page of a topic: "mail/send" has two names in it. */
export function topicPath(topic: string): string {
  return `/topic/${topic.split("/").map(encodeURIComponent).join("/")}`;
}
