import { testSeeds } from "./seeds.ts";

testSeeds(2, 100, 1);
