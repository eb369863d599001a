// Builds the pages: `node build.mjs FOLDER DIGEST`. The manifest names each entry's file and is written last.
import { build } from "esbuild";
import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";

const [folder, sources] = process.argv.slice(2);
if (!folder || !sources) throw new Error("Usage: node build.mjs FOLDER DIGEST");
const fresh = `${folder}.new`;
rmSync(fresh, { recursive: true, force: true });
mkdirSync(fresh, { recursive: true });

const made = await build({
  entryPoints: ["src/app.tsx", "src/theme.ts", "src/app.css", "src/icon.svg"],
  outdir: fresh,
  bundle: true,
  minify: true,
  metafile: true,
  format: "esm",
  target: ["es2022"],
  entryNames: "[name]-[hash]",
  loader: { ".svg": "copy" },
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  logLevel: "warning",
});

const entries = {};
for (const [path, output] of Object.entries(made.metafile.outputs)) {
  const entry = output.entryPoint ?? Object.keys(output.inputs)[0];
  if (!entry) continue;
  entries[basename(entry).replace(/\.tsx?$/, ".js")] = basename(path);
}

// Whoever passes the bundle on passes these on with it.
const licences = [];
for (const name of Object.keys(JSON.parse(readFileSync("package.json", "utf8")).dependencies).sort()) {
  const home = join("node_modules", name);
  const { version, license } = JSON.parse(readFileSync(join(home, "package.json"), "utf8"));
  const file = readdirSync(home).find((entry) => /^licen[cs]e/i.test(entry));
  licences.push(`${name} ${version} (${license})\n\n${file ? readFileSync(join(home, file), "utf8").trim() : ""}\n`);
}
writeFileSync(join(fresh, "licences.txt"), licences.join(`\n${"-".repeat(72)}\n\n`));
entries["licences.txt"] = "licences.txt";
writeFileSync(join(fresh, "manifest.json"), JSON.stringify({ sources, entries }, null, 1));
rmSync(folder, { recursive: true, force: true });
renameSync(fresh, folder);
