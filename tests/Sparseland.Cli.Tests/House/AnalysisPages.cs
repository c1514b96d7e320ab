using System.Globalization;
using System.Text;
using Sparseland.Pruning.Analysis.Catalog;
using Sparseland.Pruning.Catalog;
using Sparseland.Training.Data.Corruptions;

namespace Sparseland.Cli.Tests.House;

/// <summary>The pages that are made from the catalogue of analyses, as text by path below <c>docs</c>.</summary>
internal static class AnalysisPages
{
    public static IReadOnlyList<(string Path, string Text)> All =>
    [
        ("analyses/README.md", Index()),
        .. AnalysisCatalog.All.Select(a => ($"analyses/{a.Id}.md", Page(a))),
        ("corruptions.md", Corruptions()),
    ];

    private static string Index()
    {
        var text = new StringBuilder("# Analyses\n\n").Append(GeneratedPages.Made).Append("`sparseland analyze MODEL --analysis ID` answers one question about a model: a table, `--json`, charts in `report.html`. Parameters are given with `--set NAME=VALUE`.\n\n| analysis | question | needs |\n| --- | --- | --- |\n");
        foreach (AnalysisInfo a in AnalysisCatalog.All) text.Append(CultureInfo.InvariantCulture, $"| [{a.Id}]({a.Id}.md) | {GeneratedPages.Cell(a.Description)} | {Needs(a.Needs)} |\n");
        return text.Append("\nWhether an experiment honours the rules of fair comparison: `sparseland doctor run RUN`, [the ten rules](ten-lessons.md). Corrupted pictures: [corruptions](../corruptions.md).\n").ToString();
    }

    private static string Page(AnalysisInfo a)
    {
        var text = new StringBuilder().Append(CultureInfo.InvariantCulture, $"# {a.Title} (`{a.Id}`)\n\n").Append(GeneratedPages.Made).Append(CultureInfo.InvariantCulture,
            $"""
            {GeneratedPages.Sentence(a.Description)}

            - paper: {a.Paper}; {a.Section}
            - needs: {Needs(a.Needs)}


            """);
        if (a.Parameters.Count > 0)
        {
            text.Append("| parameter | default | values | what |\n| --- | --- | --- | --- |\n");
            foreach (MethodParameter p in a.Parameters)
            {
                string values = p.Type switch { ParameterType.Choice => string.Join(", ", p.Choices), ParameterType.Switch => "true, false", ParameterType.Text => "text", _ => GeneratedPages.Range(p.Min, p.Max) };
                text.Append(CultureInfo.InvariantCulture, $"| `{p.Name}` | {p.Default} | {values} | {GeneratedPages.Cell(p.Description)} |\n");
            }
            text.Append('\n');
        }
        return text.Append(CultureInfo.InvariantCulture, $"```\nsparseland analyze model.onnx --analysis {a.Id}{(a.Needs.HasFlag(AnalysisNeeds.OtherModel) ? " --other other.onnx" : "")}{(a.Needs.HasFlag(AnalysisNeeds.LabelledData) ? " --data shapes" : "")}\n```\n").ToString();
    }

    private static string Corruptions()
    {
        var text = new StringBuilder("# Corruptions\n\n").Append(GeneratedPages.Made).Append("Disturbances of pictures in five severities, to measure robustness with [`analyze --analysis robustness`](analyses/robustness.md) or, from C#, with `CorruptedDataset`. They act on values 0 to 1 before normalisation.\nConstants are those of the CIFAR form of Hendrycks and Dietterich, \"Benchmarking Neural Network Robustness to Common Corruptions and Perturbations\" (ICLR 2019); the implementations are our own, so figures are comparable among themselves and not with published tables.\nNot built in: elastic distortion, JPEG compression, snow, spatter, saturation.\n\n| corruption | family | severities 1 to 5 |\n| --- | --- | --- |\n");
        foreach (Corruption c in CorruptionCatalog.All) text.Append(CultureInfo.InvariantCulture, $"| `{c.Id}` | {c.Family.ToString().ToLowerInvariant()} | {GeneratedPages.Cell(c.Description)} |\n");
        return text.ToString();
    }

    private static string Needs(AnalysisNeeds needs) => needs == AnalysisNeeds.None ? "nothing but the model" : string.Join(", ",
        Enum.GetValues<AnalysisNeeds>().Where(n => n != AnalysisNeeds.None && needs.HasFlag(n)).Select(n => n switch
        {
            AnalysisNeeds.LabelledData => "labelled data or text",
            AnalysisNeeds.Pictures => "pictures",
            AnalysisNeeds.TrainingData => "training samples",
            AnalysisNeeds.OtherModel => "another model",
            _ => "time: it trains networks",
        }));
}
