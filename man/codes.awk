# Puts the table of diagnostics, from compiler/codes.def, where the page says @CODES@.
# A line there: GF_CODE(E012, "sentence", "what to do"), strings on one line.
$0 != "@CODES@" { print; next }
{
	while ((getline line < "compiler/codes.def") > 0) {
		if (line !~ /^GF_CODE\(/) continue
		n = split(line, part, "\"")
		code = part[1]; gsub(/GF_CODE\(|[ ,]/, "", code)
		text = part[2]
		gsub(/[*_`\\]/, "\\\\&", text)
		printf "*%s*\n\t%s\n\n", code, text
	}
}
