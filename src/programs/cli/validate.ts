/** `bulkhead policy validate`: what is wrong with policy files, before anybody applies them. */
import { readFile } from "node:fs/promises";
import { Command } from "commander";
import { type Policy, policyName } from "../../model/policy.ts";
import { policyWords } from "../../report/policies.ts";
import { safeText } from "../../report/text.ts";
import { EXIT_BAD_INPUT, messageOf } from "../../runtime/user-error.ts";
import { validatePolicies } from "../../wire/validate-policies.ts";
import { writeLine } from "./output.ts";

export function validateVerb(): Command {
  return new Command("validate")
    .description("read policy files as the exporter would: what each selects, and what is wrong; changes nothing")
    .argument("<file...>", "YAML files")
    .addHelpText("after", "\nExit code: 0 when every file is fine, else 2.")
    .action(async (files: readonly string[]) => {
      const sources = new Map<string, string>();
      for (const file of files) if (!(await validate(file, sources))) process.exitCode = EXIT_BAD_INPUT;
    });
}

/** @param sources where each policy of the files before is defined; this file's are added. */
async function validate(file: string, sources: Map<string, string>): Promise<boolean> {
  const text = await readFile(file, "utf8").catch((error: unknown) => ({ fault: messageOf(error) }));
  if (typeof text !== "string") return report([], [`${file}: ${text.fault}; give a YAML file that this user can read`]);
  const { policies, problems, others } = validatePolicies(file, text);
  const repeated = policies.flatMap((policy) => repetition(policy, sources));
  for (const policy of policies) sources.set(policyName(policy), policy.source);
  if (policies.length === 0 && problems.length === 0) {
    await writeLine(safeText(`${file}: no policy in it${others === 0 ? "" : `; other documents: ${others}`}`));
  }
  return report(policies, [...problems, ...repeated]);
}

function repetition(policy: Policy, sources: ReadonlyMap<string, string>): readonly string[] {
  const name = policyName(policy);
  const first = sources.get(name);
  return first === undefined
    ? []
    : [`${policy.source}: ${name}: is already defined in ${first}; remove one of the two`];
}

async function report(policies: readonly Policy[], problems: readonly string[]): Promise<boolean> {
  for (const policy of policies) await writeLine(policyWords(policy));
  for (const problem of problems) await writeLine(safeText(`! ${problem}`));
  return problems.length === 0;
}
