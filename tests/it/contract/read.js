// Reads the contract files as others do. `asyncapi FILE`: by AsyncAPI's own parser. `schema FILE`: by Ajv, a body a line on standard
// input. Prints one line for each fault, and ends with 1 if there is any.
"use strict";

const fs = require("node:fs");

async function asyncapi(file) {
  const { Parser, fromFile } = require("@asyncapi/parser");
  const { document, diagnostics } = await fromFile(new Parser(), file).parse();
  const ERROR = 0;
  const faults = diagnostics.filter((fault) => fault.severity === ERROR);
  const told = faults.map((fault) => `${fault.path.join("/")}: ${fault.message}`);
  return document ? told : [...told, "the document cannot be read"];
}

function schema(file) {
  const Ajv = require("ajv/dist/2020");
  // `format` is left to its readers, and so is what Ajv only advises.
  const ajv = new Ajv({ strict: true, strictTypes: false, strictRequired: false, allowUnionTypes: true, validateFormats: false });
  const validate = ajv.compile(JSON.parse(fs.readFileSync(file, "utf8")));
  const bodies = fs.readFileSync(0, "utf8").split("\n").filter(Boolean);
  const told = bodies.map((body) => (validate(JSON.parse(body)) ? "" : `${body}: ${ajv.errorsText(validate.errors)}`));
  return bodies.length ? told.filter(Boolean) : ["no bodies"];
}

async function main([what, file]) {
  const faults = await (what === "asyncapi" ? asyncapi(file) : schema(file));
  faults.forEach((fault) => console.log(fault));
  process.exitCode = faults.length ? 1 : 0;
}

main(process.argv.slice(2));
