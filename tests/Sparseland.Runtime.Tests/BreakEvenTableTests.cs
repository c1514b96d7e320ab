using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Model;
using Sparseland.Runtime.Planning;
using Sparseland.Runtime.Steps;

namespace Sparseland.Runtime.Tests;

[Collection(nameof(MeasuringCollection))]
public class BreakEvenTableTests
{
    [Fact]
    public void The_largest_size_that_fits_decides()
    {
        var table = new BreakEvenTable([new(KernelKind.Csr, 16, 0.2), new(KernelKind.Csr, 2, 0.05), new(KernelKind.Convolution, 0, 0.3)], "test");
        Assert.Equal(0, table.For(KernelKind.Csr, new KernelWork(1)));
        Assert.Equal(0.05, table.For(KernelKind.Csr, new KernelWork(15)));
        Assert.Equal(0.2, table.For(KernelKind.Csr, new KernelWork(1000)));
        Assert.Equal(0, table.For(KernelKind.Block, new KernelWork(1000)));
        Assert.Equal(2, table.Speedup(KernelKind.Csr, new KernelWork(16), 0.1), 12);
        Assert.Equal(1, table.Speedup(KernelKind.Dense, new KernelWork(16), 0.1));
    }

    [Fact]
    public void Batches_and_heights_of_blocks_have_rules_of_their_own()
    {
        var table = new BreakEvenTable(
        [
            new(KernelKind.Convolution, 0, 0.1), new(KernelKind.Convolution, 784, 0.2), new(KernelKind.Convolution, 0, 0.3) { Images = 8 },
            new(KernelKind.BlockVector, 0, 0.2) { BlockRows = 4 }, new(KernelKind.BlockVector, 0, 0.6) { BlockRows = 16 }, new(KernelKind.BlockVector, 100, 0.5) { BlockRows = 4 },
        ], "test");
        // The form of the work counts before its size.
        Assert.Equal([0.1, 0.2, 0.3, 0.3], new[] { (1, 7), (784, 7), (1, 8), (784, 9) }.Select(w => table.For(KernelKind.Convolution, new KernelWork(w.Item1) { Images = w.Item2 })));
        Assert.Equal([0, 0.2, 0.2, 0.6, 0.6, 0.5], new[] { (0, 1), (0, 4), (0, 8), (0, 16), (100, 16), (100, 8) }.Select(w => table.For(KernelKind.BlockVector, new KernelWork(w.Item1) { BlockRows = w.Item2 })));
        Assert.Throws<ArgumentException>(() => new BreakEvenTable([new(KernelKind.BlockVector, 0, 0.1) { BlockRows = -1 }], "test"));
        Assert.Throws<ArgumentException>(() => new BreakEvenTable([new(KernelKind.Convolution, 0, 0.1) { Images = -1 }], "test"));
    }

    [Fact]
    public void Weights_that_no_cache_holds_have_rules_of_their_own_for_each_number_of_rows()
    {
        var table = new BreakEvenTable(
        [
            new(KernelKind.Csr, 2, 0.2), new(KernelKind.Csr, 16, 0.8), new(KernelKind.Csr, 2, 0.4) { WeightBytes = 1000 }, new(KernelKind.Csr, 8, 0.6) { WeightBytes = 1000 }, new(KernelKind.Csr, 32, 1.2),
        ], "test");
        Assert.Equal([0.2, 0.2, 0.4, 0.6, 0.8, 0.8, 1.2], new[] { (2, 999), (15, 0), (7, 1000), (15, 5000), (16, 999), (31, 5000), (32, 5000) }.Select(w => table.For(KernelKind.Csr, new KernelWork(w.Item1) { WeightBytes = w.Item2 })));
        Assert.Throws<ArgumentException>(() => new BreakEvenTable([new(KernelKind.Csr, 2, 0.1) { WeightBytes = -1 }], "test"));
        Assert.Throws<ArgumentException>(() => new BreakEvenTable([new(KernelKind.Csr, 2, BreakEven.MostDensity + 0.1)], "test"));
        // Built-in ones are there for code, and rise with the rows.
        BreakEvenTable compiled = BuiltInPoints.For(SimdLevel.Vector512, compiled: true, windows: true);
        foreach (long bytes in new[] { 0, BreakEvenMeasurement.PartOfThirdCache, BreakEvenMeasurement.BeyondCaches })
        {
            double[] points = [.. new[] { 2, 4, 5, 8, 12, 16, 24, 32, 48, 64, 128 }.Select(rows => compiled.For(KernelKind.Csr, new KernelWork(rows) { WeightBytes = bytes }))];
            Assert.Equal(points.Order(), points);
            // From memory they are at most those in the caches where rows are enough to multiply for a while.
            Assert.All(new[] { 8, 16, 24, 32, 64 }, rows => Assert.True(compiled.For(KernelKind.Csr, new KernelWork(rows) { WeightBytes = bytes }) <= compiled.For(KernelKind.Csr, new KernelWork(rows))));
        }
    }

    /// <summary>A small weight comes from memory as a large one does where the model does not fit the caches, dense or stored.</summary>
    [Fact]
    public void A_weight_comes_from_memory_where_the_model_does_not_fit_the_caches()
    {
        const long mega = 1 << 20, beyond = BreakEvenMeasurement.BeyondCaches;
        (long, long) bytes(long own, long model, double density, long cache = 32 * mega) => SparseCost.BytesToReach(own, model, density, cache);
        Assert.Equal((mega, mega), bytes(mega, 16 * mega, 0.1));
        Assert.Equal((beyond, beyond), bytes(mega, (32 * mega) + 1, 0));
        Assert.Equal((beyond + mega, beyond + mega), bytes(beyond + mega, beyond + mega, 0.1));
        // Nearly all values in a list or in code take nearly twice the dense bytes and more: only what is stored does not fit.
        Assert.Equal((20 * mega, 20 * mega), bytes(20 * mega, 20 * mega, 0.2));
        Assert.Equal((20 * mega, beyond), bytes(20 * mega, 20 * mega, 0.94));
        // The processor's cache counts.
        Assert.Equal((beyond, beyond), bytes(mega, 16 * mega, 0.1, 8 * mega));
        Assert.Equal((20 * mega, 20 * mega), bytes(20 * mega, 20 * mega, 0.94, 128 * mega));
        Assert.InRange(SparseCost.LastCacheBytes, mega, long.MaxValue);
    }

    /// <summary>Where only what is stored does not fit the caches the lesser point of both counts, whichever that is, and the plan says which.</summary>
    [Theory, InlineData(0.5, 0.4, true), InlineData(0.3, 0.4, false)]
    public void The_lesser_point_counts_where_only_what_is_stored_comes_from_memory(double near, double far, bool farCounts)
    {
        var table = new BreakEvenTable([new(KernelKind.Csr, 2, near), new(KernelKind.Csr, 2, far) { WeightBytes = BreakEvenMeasurement.BeyondCaches }], "test");
        var both = new KernelRules(new KernelWork(4)) { Stored = new KernelWork(4) { WeightBytes = BreakEvenMeasurement.BeyondCaches }, FarText = " from memory" };
        Assert.Equal(Math.Min(near, far), both.Find(table, KernelKind.Csr)?.Density);
        Assert.Equal(farCounts ? " from memory" : "", both.TextOf(both.Find(table, KernelKind.Csr)));
        Assert.Null(both.Find(table, KernelKind.Block));
        // A table without such a rule has nothing to say about memory.
        var plain = new BreakEvenTable([new(KernelKind.Csr, 2, near)], "test");
        Assert.Equal("", both.TextOf(both.Find(plain, KernelKind.Csr)));
    }

    /// <summary>Dense products compute whole panels: 100 outputs take what 128 do with 512 bits, so a sparse product beside them costs less.</summary>
    [Fact]
    public void Outputs_that_fill_no_panel_of_the_dense_product_gain_more()
    {
        int panel = PackedMatrix.RightPanel;
        double full = SparseCost.OfLinear(0.5, 64, 4 * panel, 64), part = SparseCost.OfLinear(0.5, 64, (3 * panel) + 1, 64);
        double filled = ((3 * panel) + 1.0) / (4 * panel);
        Assert.InRange(part / full, filled - 0.06, filled + 0.09);
    }

    [Fact]
    public void Built_in_points_are_those_of_the_level_and_code_in_use()
    {
        BreakEvenTable compiled = BuiltInPoints.For(SimdLevel.Vector512, compiled: true, windows: true), loops = BuiltInPoints.For(SimdLevel.Vector512, compiled: false, windows: true);
        BreakEvenTable half = BuiltInPoints.For(SimdLevel.Vector256, compiled: false, windows: false), narrow = BuiltInPoints.For(SimdLevel.Vector128, compiled: false, windows: false);
        double at(BreakEvenTable table, KernelKind kernel, long size) => table.For(kernel, new KernelWork(size) { Columns = 9, BlockRows = 4 });
        Assert.True(at(compiled, KernelKind.Csr, 8) > at(half, KernelKind.Csr, 8) && at(half, KernelKind.Csr, 8) > at(loops, KernelKind.Csr, 8));
        Assert.True(at(loops, KernelKind.CsrVector, 0) > at(half, KernelKind.CsrVector, 0));
        BreakEvenTable whole = BuiltInPoints.For(SimdLevel.Vector512, compiled: true, windows: true, wholeUnits: true);
        Assert.True(at(whole, KernelKind.Csr, 8) < at(compiled, KernelKind.Csr, 8));
        BreakEvenTable counted = BuiltInPoints.For(SimdLevel.Vector256, compiled: true, windows: false);
        Assert.True(at(counted, KernelKind.Csr, 8) > at(half, KernelKind.Csr, 8));
        foreach (BreakEvenTable table in new[] { compiled, whole, loops, counted, half, narrow })
        {
            Assert.Equal("built in", table.Origin);
            Assert.All(new[] { KernelKind.Convolution, KernelKind.Pointwise, KernelKind.Grouped, KernelKind.Csr, KernelKind.Block, KernelKind.CsrVector, KernelKind.BitmaskVector, KernelKind.BlockVector }, k => Assert.InRange(at(table, k, 1L << 30), 0.01, 0.9));
        }
        // A kind without a point is never taken: kinds that code or registers of 256 bits bring have some where those are.
        BreakEvenTable windows = BuiltInPoints.For(SimdLevel.Vector256, compiled: true, windows: true);
        Assert.All(new[] { compiled, whole, counted, windows }, t => Assert.InRange(at(t, KernelKind.ConvolutionBlock, 1L << 30), 0.01, 0.9));
        Assert.All(new[] { compiled, whole, loops, counted, windows, half }, t => Assert.InRange(at(t, KernelKind.Depthwise, 1L << 30), 0.01, 0.9));
        Assert.All(new[] { ValueKind.Float32, ValueKind.BFloat16, ValueKind.Int8, ValueKind.Int4 }, v => Assert.InRange(windows.For(KernelKind.CsrVector, new KernelWork(1L << 30) { Columns = 4096, Values = v }), 0.01, 0.9));
        // Nothing was measured with scalar code.
        Assert.Equal(at(narrow, KernelKind.Csr, 8) / 2, at(BuiltInPoints.For(SimdLevel.Scalar, compiled: false, windows: false), KernelKind.Csr, 8), 3);
    }

    [Fact]
    public void This_machines_points_come_from_its_file_and_follow_it()
    {
        string folder = Directory.CreateTempSubdirectory().FullName;
        string? before = Environment.GetEnvironmentVariable(BreakEvenTable.FolderVariable);
        Environment.SetEnvironmentVariable(BreakEvenTable.FolderVariable, Path.Combine(folder, "made"));
        try
        {
            Assert.Equal("built in", BreakEvenTable.ForThisMachine(out string? refusal).Origin);
            Assert.Null(refusal);
            Assert.Equal("built in", SessionOptions.Default.BreakEven.Origin);
            new BreakEvenTable([new(KernelKind.Csr, 2, 0.4)], "mine") { Conditions = BreakEvenConditions.Current }.SaveForThisMachine();
            Assert.Equal(BreakEvenTable.MachinePath, Assert.Single(Directory.GetFiles(Path.Combine(folder, "made"))));
            Assert.Equal("mine", BreakEvenTable.ForThisMachine().Origin);
            Assert.Equal("mine", SessionOptions.Default.BreakEven.Origin);
            File.WriteAllText(BreakEvenTable.MachinePath, "{}");
            File.SetLastWriteTimeUtc(BreakEvenTable.MachinePath, DateTime.UtcNow.AddMinutes(1));
            Assert.Equal("built in", BreakEvenTable.ForThisMachine(out refusal).Origin);
            Assert.Contains("no break-even table", refusal);
        }
        finally
        {
            Environment.SetEnvironmentVariable(BreakEvenTable.FolderVariable, before);
            Directory.Delete(folder, recursive: true);
        }
    }

    [Theory]
    [InlineData(""), InlineData("{"), InlineData("[null]"), InlineData("null"), InlineData("\0\0\0\0"), InlineData("""{"version":6,"origin":"x","entries":[null]}"""), InlineData("""{"version":6,"origin":"x","entries":null}""")]
    [InlineData("""{"version":6,"origin":null,"entries":[]}"""), InlineData("""{"version":6,"origin":"x","entries":[{"kernel":99,"size":1,"density":0.1}]}"""), InlineData("""{"version":6,"origin":"x","conditions":{},"entries":[]}"""), InlineData("large")]
    public void Sessions_take_the_built_in_points_where_the_machines_file_is_bad(string content) => WithFolder(folder =>
    {
        File.WriteAllText(BreakEvenTable.MachinePath, content == "large" ? new string(' ', 5 << 20) : content);
        AssertRefused();
    });

    [Theory, InlineData("folder"), InlineData("loop"), InlineData("long"), InlineData("closed"), InlineData("unreadable"), InlineData("file")]
    public void Sessions_take_the_built_in_points_where_the_machines_file_cannot_be_read(string what) => WithFolder(folder =>
    {
        // Whoever may do everything may read everything.
        if (OperatingSystem.IsWindows() || (what is "closed" or "unreadable" && Environment.IsPrivilegedProcess)) return;
        string inner = Path.Combine(folder, "inner");
        switch (what)
        {
            case "folder":
                Directory.CreateDirectory(BreakEvenTable.MachinePath);
                break;
            case "loop":
                File.CreateSymbolicLink(BreakEvenTable.MachinePath, BreakEvenTable.MachinePath);
                break;
            case "long":
                Environment.SetEnvironmentVariable(BreakEvenTable.FolderVariable, Path.Combine(folder, new string('x', 300)));
                break;
            case "closed":
                Directory.CreateDirectory(inner, UnixFileMode.UserRead | UnixFileMode.UserWrite);
                Environment.SetEnvironmentVariable(BreakEvenTable.FolderVariable, inner);
                break;
            case "unreadable":
                File.WriteAllText(BreakEvenTable.MachinePath, "{}");
                File.SetUnixFileMode(BreakEvenTable.MachinePath, UnixFileMode.None);
                break;
            default:
                File.WriteAllText(inner, "no folder");
                Environment.SetEnvironmentVariable(BreakEvenTable.FolderVariable, inner);
                break;
        }
        AssertRefused(mayBeNone: what == "file");
    });

    private static void AssertRefused(bool mayBeNone = false)
    {
        Assert.Equal("built in", BreakEvenTable.ForThisMachine(out string? refusal).Origin);
        if (!mayBeNone) Assert.False(string.IsNullOrEmpty(refusal));
        Assert.NotNull(new InferenceSession(RandomNetworks.Convolutional(1, 0.3)));
    }

    private static void WithFolder(Action<string> test)
    {
        string folder = Directory.CreateTempSubdirectory().FullName;
        string? before = Environment.GetEnvironmentVariable(BreakEvenTable.FolderVariable);
        Environment.SetEnvironmentVariable(BreakEvenTable.FolderVariable, folder);
        try
        {
            test(folder);
        }
        finally
        {
            Environment.SetEnvironmentVariable(BreakEvenTable.FolderVariable, before);
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void Windows_that_no_array_holds_are_never_chosen()
    {
        Assert.Equal(0.5, SparseCost.OfWindows(1L << 30, 1 << 15, 1 << 14));
        double cost = SparseCost.OfWindows(1L << 31, 1 << 16, 1 << 14);
        Assert.Equal(0, new BreakEvenTable([new(KernelKind.CsrVector, 0, 0.9)], "test").Speedup(KernelKind.CsrVector, new KernelWork(1L << 32), cost));
    }

    /// <summary>A dense weight that comes from memory waits for it with few rows and multiplies with many: a sparse one beside it costs less with few alone.</summary>
    [SkippableFact]
    public void Few_rows_beside_a_weight_from_memory_gain_more()
    {
        Skip.IfNot(CompiledKernels.AreWritten && VectorUnits.AreFullWidth, "Measured where units of 512 bits are whole and code is written.");
        double near = SparseCost.OfLinear(0.25, 2048, 2048, 2), far = SparseCost.OfLinear(0.25, 3072, 3072, 2), more = SparseCost.OfLinear(0.25, 3072, 3072, 8);
        Assert.True(far < more && more < near, $"{far}, {more}, {near}");
        Assert.Equal(SparseCost.OfLinear(0.25, 3072, 2784, 32), SparseCost.OfLinear(0.25, 3072, 2720, 32), 2e-3);
    }

    [Fact]
    public void Types_of_values_and_lengths_of_rows_have_rules_of_their_own()
    {
        var table = new BreakEvenTable(
        [
            new(KernelKind.BitmaskVector, 0, 0.9), new(KernelKind.BitmaskVector, 0, 0.1) { Values = ValueKind.Int4 }, new(KernelKind.BitmaskVector, 0, 0.2) { Values = ValueKind.Int4, Columns = 2048 },
            new(KernelKind.BitmaskVector, 1000, 0.3) { Values = ValueKind.Int4 }, new(KernelKind.BitmaskVector, 1000, 0.4) { Values = ValueKind.Int4, Columns = 2048 },
        ], "test");
        Assert.Equal(0.9, table.For(KernelKind.BitmaskVector, new KernelWork(5000)));
        Assert.Equal([0.1, 0.2, 0.3, 0.4], new[] { (0, 768), (999, 2048), (1000, 2047), (5000, 4096) }.Select(s => table.For(KernelKind.BitmaskVector, new KernelWork(s.Item1) { Values = ValueKind.Int4, Columns = s.Item2 })));
        Assert.Equal(0, table.For(KernelKind.BitmaskVector, new KernelWork(5000) { Values = ValueKind.Int8, Columns = 4096 }));
        Assert.Equal(2, table.Speedup(KernelKind.BitmaskVector, new KernelWork(1000) { Values = ValueKind.Int4, Columns = 4096 }, 0.2), 12);
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
            Assert.Equal([path], Directory.GetFiles(Path.GetDirectoryName(path)!, Path.GetFileName(path) + "*"));
            foreach (string bad in new[] { "", "{", "{}", "[1]", """{"version":6,"origin":"x","entries":[{"kernel":"Csr","size":-1,"density":0.1}]}""", """{"version":6,"origin":"x","entries":[{"kernel":"Csr","size":1,"density":7}]}""", """{"version":6,"origin":"x","entries":[{"kernel":"None","size":1,"density":0.1}]}""", """{"version":6,"origin":"x","entries":[{"kernel":"Csr","size":1,"density":0.1,"values":"int7"}]}""", """{"version":6,"origin":"x","entries":[null]}""", """{"version":6,"origin":"x","entries":[{"kernel":99,"size":1,"density":0.1}]}""" })
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
    public void A_file_is_for_one_processor_level_code_and_number_of_threads()
    {
        var conditions = new BreakEvenConditions("AMD EPYC  9R14", "Vector512", 2, true);
        Assert.Equal("break-even-amd-epyc-9r14-vector512-2.json", MachinePoints.FileName(conditions));
        string[] names = [.. new[] { conditions, conditions with { Threads = 1 }, conditions with { Level = "Vector256" }, conditions with { Compiled = false }, conditions with { Processor = "B" } }.Select(MachinePoints.FileName)];
        Assert.Equal(5, names.Distinct().Count());
        Assert.All(names, n => Assert.Equal(-1, n.IndexOfAny(Path.GetInvalidFileNameChars())));
        // Virtual machines call them all the same.
        string[] generations = [.. new[] { (25, 0x11), (26, 2), (26, 0x11) }.Select(n => MachinePoints.FileName(conditions with { Processor = new ProcessorIdentity("AMD EPYC", "AuthenticAMD", n.Item1, n.Item2, 1).ToString() }))];
        Assert.Equal("break-even-amd-epyc-zen-5-family-26-model-2-vector512-2.json", generations[1]);
        Assert.Equal(3, generations.Distinct().Count());
        Assert.Equal(ProcessorIdentity.Current.ToString(), BreakEvenConditions.Current.Processor);
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
            foreach (string version in new[] { "", "\"version\":5,", "\"version\":99," })
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
        Assert.Contains(table.Entries, e => e is { Kernel: KernelKind.Csr, Size: 2, WeightBytes: BreakEvenMeasurement.BeyondCaches });
        // What a weight in the caches has a rule for has one from memory too: the number of rows decides before the bytes.
        foreach (KernelKind kernel in (KernelKind[])[KernelKind.Csr, KernelKind.Block])
        {
            foreach (int height in new[] { 0, 8 })
            {
                IEnumerable<long> sizes(long bytes) => table.Entries.Where(e => e.Kernel == kernel && e.BlockRows == height && e.WeightBytes == bytes).Select(e => e.Size);
                Assert.Equal(sizes(0), sizes(BreakEvenMeasurement.BeyondCaches));
            }
        }
        // Tall blocks have all rules of blocks, but that small weights share those of few rows: a table asks for the height first.
        Assert.Equal([.. table.Entries.Where(e => e is { Kernel: KernelKind.Block, BlockRows: 0 } and not { Size: <= 4, WeightBytes: BreakEvenMeasurement.PartOfSecondCache }).Select(e => (e.Size, e.WeightBytes))], table.Entries.Where(e => e is { Kernel: KernelKind.Block, BlockRows: 8 }).Select(e => (e.Size, e.WeightBytes)));
        Assert.Contains(table.Entries, e => e is { Kernel: KernelKind.Convolution, Images: 8 });
        foreach (int height in new[] { 4, 8, 16 }) Assert.Contains(table.Entries, e => e.Kernel == KernelKind.BlockVector && e.BlockRows == height);
        foreach (ValueKind values in Enum.GetValues<ValueKind>()) Assert.Contains(table.Entries, e => e.Kernel == KernelKind.BitmaskVector && e.Values == values && e.Density > 0);
        // Those that every machine has.
        foreach (KernelKind kernel in Enum.GetValues<KernelKind>().Where(k => k is not (KernelKind.Dense or KernelKind.Depthwise or KernelKind.ConvolutionBlock)))
            Assert.Contains(table.Entries, e => e.Kernel == kernel && e.Density is >= 0 and <= BreakEven.MostDensity);
        using var cancelled = new CancellationTokenSource();
        cancelled.Cancel();
        Assert.Throws<OperationCanceledException>(() => BreakEvenTable.Measure(null, cancelled.Token));
    }

    private sealed class Listener(List<string> told) : IProgress<string>
    {
        public void Report(string value) => told.Add(value);
    }
}
