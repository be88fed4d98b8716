/** When the certificates that a program uses end: the first of them in its status and in a metric, a warning in good time. */
import type { Disk } from "../disk/door.ts";
import type { CertificateStatus, ProgramStatus } from "../model/status.ts";
import { type Clock, every } from "../runtime/clock.ts";
import type { Metrics } from "../runtime/metrics.ts";
import { parseEtcdConfig } from "../wire/etcd-config.ts";
import type { NatsSettings } from "./nats.ts";
import { readPem } from "./pem.ts";

/** Files in PEM. */
interface CertificateFiles {
  /** The first certificate counts. */
  readonly leaves: readonly string[];
  /** One that holds is enough: while authorities are exchanged the old one may end. */
  readonly bundles: readonly string[];
}

interface Ending {
  readonly file: string;
  readonly untilMs: number;
  /** From when on it is said that it ends. */
  readonly warnMs: number;
}

const DAY_MS = 86_400_000;
const WARN_AHEAD_MS = 30 * DAY_MS;
/** One that lives for a day is renewed every few hours, and nobody is told. */
const WARN_SHARE = 3;

const NO_FILES: CertificateFiles = { leaves: [], bundles: [] };

const presentOf = (...files: readonly (string | undefined)[]): readonly string[] =>
  files.filter((file) => file !== undefined);

/** Those that an etcd config file names; none where it cannot be read: whoever connects says so. */
async function filesOfEtcd(disk: Disk, path: string): Promise<CertificateFiles> {
  const text = await disk.readText(path).catch(() => "");
  const judged = parseEtcdConfig(path, text);
  if (!judged.ok) return NO_FILES;
  return { leaves: presentOf(judged.value.certFile), bundles: presentOf(judged.value.caFile) };
}

function filesOfNats({ natsCertFile, natsCaFile }: ExpirySettings): CertificateFiles {
  return { leaves: presentOf(natsCertFile), bundles: presentOf(natsCaFile) };
}

/** Of every program: what names its certificates, and how often they are looked at. */
export interface ExpirySettings extends Pick<NatsSettings, "natsCertFile" | "natsCaFile"> {
  readonly etcdConfig: string;
  readonly certificatesIntervalMs: number;
}

export interface ExpiryOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly signal: AbortSignal;
  readonly settings: ExpirySettings;
  /** Paths of the config files of other etcds that the program uses at present. */
  readonly otherEtcds?: () => Promise<readonly string[]>;
}

export class Expiry {
  readonly #options: ExpiryOptions;
  #endings: readonly Ending[] = [];

  private constructor(options: ExpiryOptions) {
    this.#options = options;
  }

  /** Looks once before it resolves, then at every interval until the signal aborts. Does not reject. */
  static async start(options: ExpiryOptions): Promise<Expiry> {
    const { clock, metrics, settings, signal } = options;
    const expiry = new Expiry(options);
    const gauge = metrics.gauge(
      "bulkhead_certificate_first_expiry_timestamp_seconds",
      "When the first of the certificates that this program uses ends, in seconds since 1970; 0 when it uses none.",
    );
    const look = async (): Promise<void> => {
      await expiry.#look();
      gauge.set((expiry.#first()?.untilMs ?? 0) / 1_000);
    };
    await look();
    every(clock, settings.certificatesIntervalMs, signal, () => void look());
    return expiry;
  }

  async #look(): Promise<void> {
    const endings: Ending[] = [];
    for (const { leaves, bundles } of await this.#files()) {
      for (const file of leaves) endings.push(...(await this.#endingsOf(file)).slice(0, 1));
      for (const file of bundles) {
        const last = (await this.#endingsOf(file)).toSorted((left, right) => right.untilMs - left.untilMs);
        endings.push(...last.slice(0, 1));
      }
    }
    const byFile = new Map(endings.map((ending) => [ending.file, ending]));
    this.#endings = [...byFile.values()].sort((left, right) => left.untilMs - right.untilMs);
  }

  async #files(): Promise<readonly CertificateFiles[]> {
    const { disk, settings, otherEtcds = async () => [] } = this.#options;
    const others = await otherEtcds().catch(() => []);
    const etcds = await Promise.all([settings.etcdConfig, ...others].map((path) => filesOfEtcd(disk, path)));
    return [...etcds, filesOfNats(settings)];
  }

  /** None where the file cannot be read: whoever connects by it says so. */
  async #endingsOf(file: string): Promise<readonly Ending[]> {
    try {
      return readPem(file, await this.#options.disk.readBytes(file)).map(({ validFrom, validTo }) => {
        const [fromMs, untilMs] = [Date.parse(validFrom), Date.parse(validTo)];
        return { file, untilMs, warnMs: untilMs - Math.min(WARN_AHEAD_MS, (untilMs - fromMs) / WARN_SHARE) };
      });
    } catch {
      return [];
    }
  }

  #first(): Ending | undefined {
    return this.#endings[0];
  }

  #problems(): readonly string[] {
    const nowMs = this.#options.clock.wallMs();
    return this.#endings
      .filter(({ warnMs }) => nowMs >= warnMs)
      .map(({ file, untilMs }) => {
        const what = nowMs >= untilMs ? "has ended" : "ends";
        return `certificate ${file} ${what} on ${timeText(untilMs)}: put a new one in its place`;
      });
  }

  /** What is said of certificates, put into a status. */
  in<T extends Pick<ProgramStatus, "problems">>(status: T): T & { readonly certificate?: CertificateStatus } {
    const first = this.#first();
    const problems = [...status.problems, ...this.#problems()];
    if (!first) return { ...status, problems };
    const leftMs = first.untilMs - this.#options.clock.wallMs();
    return { ...status, problems, certificate: { file: first.file, until: timeText(first.untilMs), leftMs } };
  }
}

const timeText = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
