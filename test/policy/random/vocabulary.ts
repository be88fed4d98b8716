// Few words, so that random policies meet random pods.
export const NAMESPACES = ["red", "green", "blue"] as const;
export const APPS = ["a", "b", "c", "d"] as const;
export const TIERS = ["x", "y"] as const;
export const ENVS = ["prod", "dev"] as const;
export const ACCOUNTS = ["default", "robot"] as const;
export const CLUSTERS = ["amsterdam", "osaka", "virginia"] as const;
export const PORT_NAMES = ["http", "sql", "dns"] as const;
export const PROTOCOLS = ["TCP", "UDP", "SCTP"] as const;
/** Ports at the edges of prefixes and of what services use. */
export const PORTS = [
  1, 22, 53, 79, 80, 81, 127, 128, 443, 1000, 1023, 1024, 4095, 4096, 5432, 8080, 32767, 65535,
] as const;
/** Of which a later one may lie inside an earlier one. */
export const V4_RANGES = [
  "0.0.0.0/0",
  "10.0.0.0/8",
  "10.2.0.0/16",
  "10.3.0.0/25",
  "192.168.0.0/16",
  "198.51.100.0/22",
  "203.0.113.0/24",
  "203.0.113.0/25",
  "203.0.113.64/26",
  "203.0.113.96/27",
  "203.0.113.7/32",
] as const;
export const V6_RANGES = [
  "::/0",
  "2000::/3",
  "fd00::/8",
  "fd00:2::/63",
  "2001:db8::/32",
  "2001:db8::/48",
  "2001:db8:0:4000::/50",
  "2001:db8:0:4100::/56",
  "2001:db8::7/128",
] as const;
/** Outside of the clusters, in and between the ranges. */
export const OUTSIDE = [
  "203.0.113.0",
  "203.0.113.7",
  "203.0.113.63",
  "203.0.113.64",
  "203.0.113.100",
  "203.0.113.127",
  "203.0.113.128",
  "203.0.114.1",
  "198.51.103.1",
  "192.168.200.1",
  "10.2.77.1",
  "10.99.0.1",
  "8.8.8.8",
  "2001:db8::7",
  "2001:db8::8",
  "2001:db8:0:4000::1",
  "2001:db8:0:4100::1",
  "2001:db8:0:4200::1",
  "2001:db8:1::1",
  "2001:db9::1",
  "fd99::1",
  "fd00:2:0:1::1",
] as const;
