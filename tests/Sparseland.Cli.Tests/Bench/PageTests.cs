using System.Text.Json.Nodes;
using Sparseland.Bench.Figures;
using Sparseland.Bench.Page;

namespace Sparseland.Cli.Tests.Bench;

public class PageTests
{
    [Fact]
    public void AnAimIsMetOnlyWhenEveryCaseReachesIt()
    {
        Assert.Equal("| x | median 0.950, worst 0.850 (b), best 1.10 | **missed** in 1 of 3 |", new Aim("x", 0.9, [("a", 1.1), ("b", 0.85), ("c", 0.95)]).Line());
        Assert.Equal("| x | 3.10 (a) | met |", new Aim("x", 3, [("a", 3.1)]).Line());
        Assert.Equal("| x | 2.99 (a) | **missed** |", new Aim("x", 3, [("a", 2.99)]).Line());
        Assert.Equal("| x | median 10.5, worst 11.0 (b), best 10.0 | **missed** in 1 of 2 |", new Aim("x", 10.5, [("a", 10), ("b", 11)], AtMost: true).Line());
        Assert.Equal("| x | not measured | **open** |", new Aim("x", 1, [("a", double.NaN)]).Line());
    }

    [Fact]
    public void AVerdictSaysWhatIntervalsLeaveOpenAndWhatIsMissing()
    {
        Assert.Equal("| x | median 1.10, worst 0.950 (a), best 1.10 | met; lower bounds: 1 of 2 below; 1 without its peer; **open**: not measured with 2 threads |",
            new Aim("x", 0.9, [("a", 0.95, 0.89), ("b", 1.1, 1.0), ("c", 1.1, double.NaN), ("d", double.NaN, double.NaN)]) { Missing = "not measured with 2 threads" }.Line());
        Assert.Equal("| x | 4.00 (a) | met; upper bounds: 1 of 1 above |", new Aim("x", 5, [("a", 4.0, 6.0)], AtMost: true).Line());
    }

    [Fact]
    public void RowsOfFewRepetitionsAreMarked()
    {
        var table = new MarkdownTable(["a", "b"], 1) { Caption = "Table." };
        table.Add(["one", "1"], JsonNode.Parse("""{ "variants": [{ "repetitions": 40 }, { "repetitions": 12 }] }"""));
        table.Add(["two", "2"], JsonNode.Parse("""{ "time": { "repetitions": 31 } }"""));
        Assert.Equal("Table. At least 12 repetitions; † fewer than 30: 1 of 2 rows.\n\n| a | b |\n| --- | ---: |\n| one † | 1 |\n| two | 2 |\n", table.ToString());
    }

    [Fact]
    public void LosingCasesStayInTheTables()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(Path.Combine(folder.Path, "gemm.json"), """
            { "figure": "gemm", "date": "2026-01-02T03:04:05Z", "commit": "abc", "load": 1.5,
              "machine": { "processor": "CPU", "cores": 2, "threads": 2, "simd": "Vector256", "instructions": ["AVX2"], "memoryBytes": 8000000000, "runtime": ".NET", "system": "Linux" },
              "rows": [
                { "m": 256, "n": 256, "k": 256, "layout": "nn", "where": "square", "gflops": { "plain": 50, "packed": 55, "openblas": 100 }, "plainToOpenBlas": { "median": 0.5 }, "packedToOpenBlas": { "median": 0.55 } },
                { "m": 512, "n": 512, "k": 512, "layout": "nn", "where": "square", "gflops": { "plain": 100, "packed": 110, "openblas": 100 }, "plainToOpenBlas": { "median": 1 }, "packedToOpenBlas": { "median": 1.1 } } ] }
            """);
        string page = PerformancePage.Make(folder.Path);
        Assert.Contains("| products of 256 to 2048: at least 0.9x OpenBLAS | median 0.750, worst 0.500 (256 nn, 2 threads), best 1.00 | **missed** in 1 of 2; **open**: not measured with 1 thread |", page, StringComparison.Ordinal);
        Assert.Contains("| 256 | nn | 2 | 50.0 | 55.0 | 100 | 0.500 | 0.550 |", page, StringComparison.Ordinal);
        Assert.Contains("[gemm.json](../bench/results/gemm.json)", page, StringComparison.Ordinal);
        File.WriteAllText(Path.Combine(folder.Path, "other.json"), "{ }");
        Assert.Contains("other.json", Assert.Throws<InvalidDataException>(() => PerformancePage.Make(folder.Path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void EveryCommittedFigureSaysWhereItComesFrom()
    {
        var results = new Results(Path.Combine(House.Repository.Root, "bench", "results"));
        foreach ((string file, JsonObject document) in results.Documents)
        {
            string[] missing = [.. new[] { "figure", "date", "commit", "command", "machine", "load", "rows" }.Where(k => !document.ContainsKey(k))];
            Assert.True(missing.Length == 0, $"{file} lacks {string.Join(", ", missing)}");
            string[] machine = [.. new[] { "processor", "cores", "threads", "simd", "instructions", "memoryBytes", "runtime" }.Where(k => document["machine"]![k] is null)];
            Assert.True(machine.Length == 0, $"{file}: the machine lacks {string.Join(", ", machine)}");
        }
    }

    [Fact]
    public void TheLineOfAnExactLawIsFound()
    {
        (double slope, double intercept, double r2) = ScalingFigure.Fit([1, 2, 5, 9], [5, 7, 13, 21]);
        Assert.Equal(2, slope, 12);
        Assert.Equal(3, intercept, 12);
        Assert.Equal(1, r2, 12);
    }
}
