package report

import (
	"strconv"

	"github.com/convrun/convrun/provenance"
)

// packagesAnnex shows where the code and the models that a run used come from.
func packagesAnnex(log *provenance.ConversionLog) Section {
	s := Section{Number: annexPackages, Title: "Packages that the run loaded"}
	if len(log.Packages) == 0 {
		s.Blocks = []Block{paragraph("unknown: no package was seen loading")}
	} else {
		s.Blocks = []Block{
			paragraph("One digest for each package, over the files of it that the run loaded. Integrity compares those files with the record that the package was installed with."),
			{Table: &Table{"Packages", []string{"Package", "Files loaded", "Integrity", "Digest"}, each(log.Packages, packageRow)}},
		}
	}
	if len(log.OtherPackages) > 0 {
		s = appended(s, Block{Table: &Table{"Packages of the operating system and of other languages", []string{"Package", "Files used", "Integrity", "Digest"}, each(log.OtherPackages, otherPackageRow)}})
	}
	if len(log.NativeLibraries) > 0 {
		s = appended(s, Block{Table: &Table{"Libraries that numbers depend on", []string{"Library", "Version", "Evidence"}, each(log.NativeLibraries, nativeRow)}})
	}
	if len(log.Hubs) > 0 {
		s = appended(s, Block{Table: &Table{"Files from model hubs", []string{"Repository", "Revision", "Files used", "Digest"}, each(log.Hubs, hubRow)}})
	}
	if len(log.Unpackaged) > 0 {
		s = appended(s, Block{Table: &Table{"Files that belong to no package", fileColumns, each(log.Unpackaged, fileRow("file"))}})
	}
	return s
}

func packageRow(p provenance.Package) Row {
	name := Cell{{value(p.Name), words(" "), value(p.Version)}, {monoValue(p.PURL)}}
	for _, line := range []struct{ before, value string }{{"installed by ", p.Installer}, {"from ", p.DirectURL}, {"commit ", p.Commit}} {
		if line.value != "" {
			name = append(name, Text{words(line.before), monoValue(line.value)})
		}
	}
	integrity := integrityCell(p.Integrity)
	for _, list := range []struct {
		before string
		files  []string
	}{{"differs: ", p.Modified}, {"not in its list: ", p.Extra}, {"missing: ", p.Missing}} {
		integrity = append(integrity, fileLines(list.before, list.files)...)
	}
	return Row{Cells: []Cell{name, {{words(strconv.Itoa(p.Files))}}, integrity, digestLines(p.Digest, nil)}}
}

func otherPackageRow(p provenance.OtherPackage) Row {
	name := Cell{{value(p.Name), words(" "), value(p.Version)}, {monoValue(orWhy(p.PURL, "none: there is no type of package URL for it"))}, {words("record "), monoValue(p.Record)}}
	return Row{Cells: []Cell{name, {{words(strconv.Itoa(p.Files))}}, append(integrityCell(p.Integrity), fileLines("differs: ", p.Modified)...), digestLines(p.Digest, nil)}}
}

func integrityCell(integrity string) Cell {
	span := value(orWhy(integrity, "unknown: not recorded"))
	if integrity != "matches" && span.Tone != Missing {
		span.Tone = Caution
	}
	return Cell{{span}}
}

func fileLines(before string, files []string) (lines []Text) {
	for _, file := range files {
		lines = append(lines, Text{words(before), monoValue(file)})
	}
	return lines
}

func nativeRow(l provenance.NativeLibrary) Row {
	evidence := Cell{}
	for _, line := range l.Evidence {
		evidence = append(evidence, Text{value(line)})
	}
	if len(evidence) == 0 {
		evidence = Cell{{value("unknown: no evidence is recorded")}}
	}
	return Row{Cells: []Cell{{{value(l.Name)}}, {{monoValue(l.Version)}}, evidence}}
}

func hubRow(h provenance.HubSource) Row {
	repository := Cell{{value(h.Hub), words(" "), value(h.Kind), words(" "), value(h.Repository)}, {monoValue(h.Location)}}
	if h.PURL != "" {
		repository = append(repository, Text{mono(h.PURL)})
	}
	pinned := Span{Words: "unknown whether pinned: ", Tone: Missing}
	if h.Pinned != nil {
		pinned = words("pinned: ")
		if !*h.Pinned {
			pinned = Span{Words: "not pinned: ", Tone: Caution}
		}
	}
	revision := Cell{{monoValue(h.Revision)}, {pinned, value(h.Reason)}}
	if h.Ref != "" {
		revision = append(revision, Text{words("asked for as "), mono(h.Ref)})
	}
	return Row{Cells: []Cell{repository, revision, {{words(strconv.Itoa(h.Files))}}, digestLines(h.Digest, nil)}}
}
