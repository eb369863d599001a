// JSON as the pages hold it: what a double cannot hold is a bigint.
export type Json = null | boolean | number | bigint | string | Json[] | { [name: string]: Json };
export type JsonObject = { [name: string]: Json };
