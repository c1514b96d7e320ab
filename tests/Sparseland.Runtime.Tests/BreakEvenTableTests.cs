using Sparseland.Kernels.Sparse;
using Sparseland.Model;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime.Tests;

[Collection(nameof(MeasuringCollection))]
public class BreakEvenTableTests
{
    [Fact]
    public void The_largest_size_that_fits_decides()
    {
        var table = new BreakEvenTable([new(KernelKind.Csr, 16, 0.2), new(KernelKind.Csr, 2, 0.05), new(KernelKind.Convolution, 0, 0.3)], "test");
        Assert.Equal(0, table.For(KernelKind.Csr, 1));
        Assert.Equal(0.05, table.For(KernelKind.Csr, 15));
        Assert.Equal(0.2, table.For(KernelKind.Csr, 1000));
        Assert.Equal(0, table.For(KernelKind.Block, 1000));
        Assert.Equal(2, table.Speedup(KernelKind.Csr, 16, 0.1), 12);
        Assert.Equal(1, table.Speedup(KernelKind.Dense, 16, 0.1));
    }

    [Fact]
    public void Windows_that_no_array_holds_are_never_chosen()
    {
        Assert.Equal(0.5, SparseCost.OfWindows(1L << 30, 1 << 15, 1 << 14));
        double cost = SparseCost.OfWindows(1L << 31, 1 << 16, 1 << 14);
        Assert.Equal(0, new BreakEvenTable([new(KernelKind.CsrVector, 0, 0.9)], "test").Speedup(KernelKind.CsrVector, 1L << 32, cost));
    }

    [Fact]
    public void Types_of_values_and_lengths_of_rows_have_rules_of_their_own()
    {
        var table = new BreakEvenTable(
        [
            new(KernelKind.BitmaskVector, 0, 0.9), new(KernelKind.BitmaskVector, 0, 0.1) { Values = ValueKind.Int4 }, new(KernelKind.BitmaskVector, 0, 0.2) { Values = ValueKind.Int4, Columns = 2048 },
            new(KernelKind.BitmaskVector, 1000, 0.3) { Values = ValueKind.Int4 }, new(KernelKind.BitmaskVector, 1000, 0.4) { Values = ValueKind.Int4, Columns = 2048 },
        ], "test");
        Assert.Equal(0.9, table.For(KernelKind.BitmaskVector, 5000));
        Assert.Equal([0.1, 0.2, 0.3, 0.4], new[] { (0, 768), (999, 2048), (1000, 2047), (5000, 4096) }.Select(s => table.For(KernelKind.BitmaskVector, s.Item1, ValueKind.Int4, s.Item2)));
        Assert.Equal(0, table.For(KernelKind.BitmaskVector, 5000, ValueKind.Int8, 4096));
        Assert.Equal(2, table.Speedup(KernelKind.BitmaskVector, 1000, 0.2, ValueKind.Int4, 4096), 12);
        Assert.Throws<ArgumentException>(() => new BreakEvenTable([new(KernelKind.BitmaskVector, 0, 0.1) { Columns = -1 }], "test"));
        Assert.Throws<ArgumentException>(() => new BreakEvenTable([new(KernelKind.BitmaskVector, 0, 0.1) { Values = ValueKind.Int4 }, new(KernelKind.BitmaskVector, 0, 0.2) { Values = ValueKind.Int4 }], "test"));
    }

    [Fact]
    public void Tables_survive_a_file_and_refuse_nonsense()
    {
        string path = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        try
        {
            BreakEvenTable.BuiltIn.Save(path);
            BreakEvenTable loaded = BreakEvenTable.Load(path);
            Assert.Equal(BreakEvenTable.BuiltIn.Entries, loaded.Entries);
            Assert.Equal("built in", loaded.Origin);
            Assert.False(File.Exists(path + ".tmp"));
            foreach (string bad in new[] { "", "{", "{}", "[1]", """{"version":4,"origin":"x","entries":[{"kernel":"Csr","size":-1,"density":0.1}]}""", """{"version":4,"origin":"x","entries":[{"kernel":"Csr","size":1,"density":7}]}""", """{"version":4,"origin":"x","entries":[{"kernel":"None","size":1,"density":0.1}]}""", """{"version":4,"origin":"x","entries":[{"kernel":"Csr","size":1,"density":0.1,"values":"int7"}]}""" })
            {
                File.WriteAllText(path, bad);
                Assert.Equal("SL1090", Assert.Throws<ModelFormatException>(() => BreakEvenTable.Load(path)).Code);
            }
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void Points_hold_for_what_they_were_measured_with()
    {
        string path = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        BreakEvenConditions now = BreakEvenConditions.Current;
        Assert.NotEqual("", now.Processor);
        try
        {
            BreakEvenTable table(BreakEvenConditions? conditions) => new([new(KernelKind.Csr, 2, 0.4)], "test") { Conditions = conditions };
            table(now).Save(path);
            Assert.Equal(now, BreakEvenTable.Load(path).Conditions);
            foreach (BreakEvenConditions other in new[] { now with { Processor = "another" }, now with { Level = "Scalar" }, now with { Threads = now.Threads + 1 }, now with { Compiled = !now.Compiled } })
            {
                table(other).Save(path);
                ModelFormatException refused = Assert.Throws<ModelFormatException>(() => BreakEvenTable.Load(path));
                Assert.Equal("SL1091", refused.Code);
                Assert.Contains(other.ToString(), refused.Message);
                Assert.Contains(now.ToString(), refused.Message);
                Assert.Contains("--calibrate", refused.Try);
            }
            // As files were before they had a version, and as a later version may write them.
            foreach (string version in new[] { "", "\"version\":3,", "\"version\":99," })
            {
                File.WriteAllText(path, "{" + version + "\"origin\":\"measured\",\"entries\":[{\"kernel\":\"Csr\",\"size\":1,\"density\":0.1}]}");
                Assert.Equal("SL1091", Assert.Throws<ModelFormatException>(() => BreakEvenTable.Load(path)).Code);
            }
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void Measuring_gives_a_table_for_every_kernel()
    {
        var told = new List<string>();
        BreakEvenTable table = BreakEvenTable.Measure(new Listener(told));
        Assert.NotEmpty(told);
        Assert.Contains("measured with", table.Origin);
        Assert.Equal(BreakEvenConditions.Current, table.Conditions);
        // One vector, few rows, an image of one pixel: each has a rule of its own.
        Assert.Contains(table.Entries, e => e is { Kernel: KernelKind.Convolution, Size: 0 });
        Assert.Contains(table.Entries, e => e is { Kernel: KernelKind.CsrVector, Size: 0 });
        Assert.Contains(table.Entries, e => e is { Kernel: KernelKind.Csr, Size: 2 });
        foreach (ValueKind values in Enum.GetValues<ValueKind>()) Assert.Contains(table.Entries, e => e.Kernel == KernelKind.BitmaskVector && e.Values == values && e.Density > 0);
        foreach (KernelKind kernel in Enum.GetValues<KernelKind>().Where(k => k != KernelKind.Dense))
            Assert.Contains(table.Entries, e => e.Kernel == kernel && e.Density is >= 0 and <= 1);
        using var cancelled = new CancellationTokenSource();
        cancelled.Cancel();
        Assert.Throws<OperationCanceledException>(() => BreakEvenTable.Measure(null, cancelled.Token));
    }

    private sealed class Listener(List<string> told) : IProgress<string>
    {
        public void Report(string value) => told.Add(value);
    }
}
