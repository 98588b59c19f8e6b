// Names what the package exports without a comment that says what it is: nothing, or it fails.
import { fileURLToPath } from "node:url";
import ts from "typescript";

const entry = fileURLToPath(new URL("src/index.ts", import.meta.url));
const options = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.NodeNext, strict: true };
const program = ts.createProgram([entry], options);
const checker = program.getTypeChecker();
const module = checker.getSymbolAtLocation(program.getSourceFile(entry));
const bare = [];

function look(symbol, name) {
  const declaration = symbol.declarations?.[0];
  if (declaration === undefined || declaration.getSourceFile().fileName.endsWith("schema.d.ts")) return;
  const isPrivate = ts.isPrivateIdentifier(declaration.name ?? declaration);
  if (isPrivate || symbol.getJsDocTags(checker).some((tag) => tag.name === "internal")) return;
  if (symbol.getDocumentationComment(checker).length === 0) bare.push(name);
  const isMade = ts.isClassDeclaration(declaration) || ts.isInterfaceDeclaration(declaration);
  for (const member of isMade ? (symbol.members?.values() ?? []) : []) {
    if (member.flags & ts.SymbolFlags.TypeParameter) continue; // its `@typeParam` is a tag of the whole
    const isNamed = !["__constructor", "__index", "prototype"].includes(member.name);
    const overrides = member.declarations?.[0]?.modifiers?.some((each) => each.kind === ts.SyntaxKind.OverrideKeyword);
    if (isNamed && !overrides) look(member, `${name}.${member.name}`);
  }
}

for (const exported of checker.getExportsOfModule(module)) {
  look(exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported, exported.name);
}
console.log(bare.join("\n"));
process.exit(bare.length === 0 ? 0 : 1);
