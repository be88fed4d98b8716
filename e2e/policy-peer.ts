/** What runs outside of the pods, on nodes and in the wide world: it answers like a server pod and takes jobs like a client pod. */
import "../deploy/lab/workload/client.ts";
import "../deploy/lab/workload/server.ts";
