/** How much of what is random: `npm test` takes the first number, the tier `thorough` of `npm run test:full` the second. */
export function rounds(few: number, many: number): number {
  return process.env["THOROUGH"] === "1" ? many : few;
}
