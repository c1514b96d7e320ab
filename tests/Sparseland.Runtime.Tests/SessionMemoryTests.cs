using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Model.Graph;

namespace Sparseland.Runtime.Tests;

/// <summary>What sessions hold beside the graph, and that it goes with them.</summary>
[Collection(nameof(MeasuringCollection))]
public sealed class SessionMemoryTests
{
    private const int Width = 1024, Layers = 4, Rows = 16;

    private const long DenseBytes = (long)Width * Width * Layers * sizeof(float);

    [Theory]
    [InlineData(1, false)]
    [InlineData(0.9, false)]
    [InlineData(0.5, true)]
    public void A_dense_plan_holds_one_packed_copy_and_no_list_of_entries(double density, bool force)
    {
        (long held, string plan) = Held(Graph(density), new SessionOptions { ForceDense = force });
        Assert.DoesNotContain("SpMM", plan, StringComparison.Ordinal);
        // A list of all entries would be twice the weight again.
        Assert.InRange(held, 0.9 * DenseBytes, 1.4 * DenseBytes);
    }

    [Fact]
    public void A_sparse_plan_holds_its_kept_entries_and_says_how_many_bytes()
    {
        (long held, string plan) = Held(Graph(0.1), new SessionOptions());
        Assert.Contains("SpMM", plan, StringComparison.Ordinal);
        // Row by row 8 bytes an entry; values in the order of the code, and where they come from, another 8. Code is no managed memory.
        Assert.InRange(held, 0.15 * DenseBytes, 0.55 * DenseBytes);
        double said = Number(plan, "prepared weights: "), dense = Number(plan, "so far, ");
        Assert.Equal(DenseBytes / 1e6, dense, 0.01);
        Assert.InRange(said, 0.15 * dense, (CompiledKernels.AreUsed ? 0.8 : 0.3) * dense);
        Assert.Equal(DenseBytes / 1e6, Number(Held(Graph(1), new SessionOptions()).Plan, "prepared weights: "), 0.1);
    }

    [Fact]
    public void Timed_candidates_that_lost_are_not_held()
    {
        (long held, _) = Held(Graph(0.1), new SessionOptions { AutoTune = true });
        Assert.InRange(held, 0.1 * DenseBytes, 0.7 * DenseBytes);
    }

    [Fact]
    public void Sessions_that_come_and_go_do_not_pile_up()
    {
        ModelGraph graph = Graph(0.2);
        for (int i = 0; i < 5; i++) Run(graph, new SessionOptions());
        // Of code alone: what else this process holds says nothing about sessions.
        long before = ExecutableBytes();
        // Each has some 8 MB of code, which no managed object shows.
        for (int i = 0; i < 100; i++) Run(graph, new SessionOptions());
        long grown = ExecutableBytes() - before;
        Assert.True(grown < 400L << 20, $"{grown / 1e6:0} MB of code after 100 sessions");
    }

    /// <summary>Bytes of this process that may be executed; 0 where the system does not say, which is where no code is written.</summary>
    private static long ExecutableBytes()
    {
        const string Maps = "/proc/self/maps";
        return !File.Exists(Maps) ? 0 : File.ReadLines(Maps).Select(l => l.Split(' ', '-')).Where(f => f[2].Contains('x', StringComparison.Ordinal)).Sum(f => Convert.ToInt64(f[1], 16) - Convert.ToInt64(f[0], 16) is > 0 and long bytes ? bytes : 0);
    }

    private static (long Bytes, string Plan) Held(ModelGraph graph, SessionOptions options)
    {
        // Once, so that what is kept for the whole process is there.
        Run(graph, options);
        long before = GC.GetTotalMemory(forceFullCollection: true);
        InferenceSession session = Run(graph, options);
        long after = GC.GetTotalMemory(forceFullCollection: true);
        string plan = session.DescribePlan(new Dictionary<string, TensorData> { ["x"] = TensorData.Zeros(ElementType.Float32, [Rows, Width]) });
        GC.KeepAlive(session);
        // The graph of this session is in memory, not in a file: the session has a copy of it, which later edits do not reach.
        return (after - before - DenseBytes, plan);
    }

    private static InferenceSession Run(ModelGraph graph, SessionOptions options)
    {
        var session = new InferenceSession(graph, options);
        session.Run(TensorData.Zeros(ElementType.Float32, [Rows, Width]));
        return session;
    }

    private static ModelGraph Graph(double density)
    {
        var b = new GraphBuilder("g");
        Value x = b.Input("x", ElementType.Float32, Rows, Width);
        for (int i = 0; i < Layers; i++) x = b.Linear(x, $"l{i}", Width, bias: false);
        ModelGraph graph = b.Build(x);
        foreach (Weight weight in graph.Weights.Values)
        {
            float[] scores = Array.ConvertAll(weight.Read().ToSingles(), Math.Abs);
            if (density < 1) weight.SetMask(PatternProjection.KeepBest(SparsityPattern.Unstructured, scores, Width, Width, density));
        }
        return graph;
    }

    private static double Number(string plan, string before)
    {
        int start = plan.IndexOf(before, StringComparison.Ordinal) + before.Length;
        return double.Parse(plan[start..plan.IndexOf(" MB", start, StringComparison.Ordinal)], System.Globalization.CultureInfo.InvariantCulture);
    }
}
