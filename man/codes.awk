# Puts the table of diagnostics, from compiler/codes.def, where the page says @CODES@.
# A line there: GF_CODE("E001", "meaning").
$0 != "@CODES@" { print; next }
{
	while ((getline line < "compiler/codes.def") > 0) {
		if (line !~ /^GF_CODE\("/) continue
		split(line, part, "\"")
		text = part[4]
		gsub(/[*_`\\]/, "\\\\&", text)
		printf "*%s*\n\t%s\n\n", part[2], text
	}
}
