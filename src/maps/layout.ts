/** Version of all layouts together, part of every pin name. Raise it when a key or value changes in size, order or meaning. */
export const LAYOUT_VERSION = 1;
