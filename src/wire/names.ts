/** Names and labels as Kubernetes allows them, so that a name can never be taken for a part of a key. */

const LONGEST_LABEL = 63;
const LONGEST_SUBDOMAIN = 253;

/** 1 to 63 of [a-z0-9-], alphanumeric at both ends. */
export function isDnsLabel(text: string): boolean {
  return text.length <= LONGEST_LABEL && /^[a-z0-9-]+$/.test(text) && !text.startsWith("-") && !text.endsWith("-");
}

/** DNS labels joined by dots, at most 253 characters. */
export function isDnsSubdomain(text: string): boolean {
  return text.length <= LONGEST_SUBDOMAIN && text.split(".").every(isDnsLabel);
}

function isQualifiedPart(text: string): boolean {
  return text.length <= LONGEST_LABEL && /^[A-Za-z0-9._-]+$/.test(text) && /^[^._-]/.test(text) && /[^._-]$/.test(text);
}

/** A label or annotation key: `name` or `prefix/name`. */
export function isLabelKey(text: string): boolean {
  const slash = text.indexOf("/");
  if (slash < 0) return isQualifiedPart(text);
  return isDnsSubdomain(text.slice(0, slash)) && isQualifiedPart(text.slice(slash + 1));
}

export function isLabelValue(text: string): boolean {
  return text === "" || isQualifiedPart(text);
}
