using System.Text.Json.Nodes;
using Sparseland.Bench.Turns;

namespace Sparseland.Bench.Page;

/// <summary>The sections of the page: what was to be reached, and the tables of what was measured.</summary>
internal static class Sections
{
    /// <summary>All of them in order.</summary>
    public static IReadOnlyList<Section> All(Results results) =>
    [
        Dense(results), Sparse(results), Networks(results), Decode(results), Training(results), Attention(results), NeverSlower(results), Scaling(results), Files(results), Turns(results),
    ];

    private static string N(double value) => Aim.Number(value);

    private static string Share(double value) => double.IsFinite(value) ? $"{value:P0}" : "";

    private static string Threads(int threads) => threads == 1 ? "1 thread" : $"{threads} threads";

    /// <summary>An aim that holds for one thread and for two; it says which of them no row has.</summary>
    private static Aim Both(Aim aim, IEnumerable<ResultRow> rows)
    {
        HashSet<int> had = [.. rows.Select(r => r.Threads)];
        int[] missing = [.. Enumerable.Range(1, 2).Where(t => !had.Contains(t))];
        return missing.Length is 0 or 2 ? aim : aim with { Missing = $"not measured with {Threads(missing[0])}" };
    }

    private static Section Dense(Results results)
    {
        ResultRow[] gemm = [.. results.Rows("gemm")];
        var table = new MarkdownTable(["product", "layout", "threads", "ours, GFLOP/s", "packed before", "OpenBLAS", "ours / OpenBLAS", "packed / OpenBLAS", "ours, of peak"], 2) { Caption = "Dense products (`gemm`)." };
        foreach (ResultRow r in gemm)
        {
            string name = r.Text("where") == "square" ? $"{r.Number("m")}" : $"{r.Number("m")} x {r.Number("n")} x {r.Number("k")} ({r.Text("where")})";
            table.Add([name, r.Text("layout"), $"{r.Threads}", N(r.Number("gflops.plain")), N(r.Number("gflops.packed")), N(r.Number("gflops.openblas")), N(r.Number("plainToOpenBlas")), N(r.Number("packedToOpenBlas")), Share(r.Number("gflops.plain") / results.Peak(r.Threads))], r.Row);
        }
        ResultRow[] networks = [.. results.Rows("networks")];
        Aim network(string text, string label)
        {
            ResultRow[] rows = [.. networks.Where(r => r.Text("network") == label)];
            return Both(new Aim(text, 0.85, rows.Select(r => (Threads(r.Threads), r.Number("speeds.dense to onnxruntime"), r.End("speeds.dense to onnxruntime")))), rows);
        }
        ResultRow[] square = [.. gemm.Where(r => r.Text("where") == "square")];
        return new Section("dense", "1. Dense kernels",
        [
            Both(new Aim("products of 256 to 2048: at least 0.9x OpenBLAS", 0.9, square.Select(r => ($"{r.Number("m")} {r.Text("layout")}, {Threads(r.Threads)}", r.Number("plainToOpenBlas"), r.End("plainToOpenBlas")))), square),
            network("ResNet-50, batch 1: at least 0.85x ONNX Runtime", "ResNet-50, dense"),
            network("ResNet-20, batch 1: at least 0.85x ONNX Runtime", "ResNet-20, dense"),
        ], [table]);
    }

    private static Section Sparse(Results results)
    {
        ResultRow[] spmm = [.. results.Rows("spmm")];
        var table = new MarkdownTable(["weight x input", "kernel", "threads", "density", "dense ms", "OpenBLAS ms", "ONNX Runtime ms", "sparse ms", "speed-up", "e", "GFLOP/s of non-zeros", "of peak"], 2) { Caption = "Sparse times dense matrices (`spmm`): speed-up and e over the fastest dense product of the shape: ours, OpenBLAS's or ONNX Runtime's." };
        foreach (ResultRow r in spmm)
        {
            table.Add([$"{r.Text("shape")}: {r.Number("rows")} x {r.Number("columns")} x {r.Number("n")}", r.Text("kernel"), $"{r.Threads}", $"{r.Number("density"):0.00}", N(r.Median("dense")), N(r.Median("openblas")), N(r.Median("onnxruntime")), N(r.Median(r.Text("kernel"))),
                N(r.Number("speedUp")), N(r.Number("effectiveness")), N(r.Number("gflops")), Share(r.Number("gflops") / results.Peak(r.Threads))], r.Row);
        }
        var conv = new MarkdownTable(["layer", "kernel", "threads", "density", "dense ms", "OpenBLAS's product ms", "sparse ms", "e over ours", "e over OpenBLAS"], 2) { Caption = "Convolutions (`conv`): OpenBLAS has the product inside the convolution alone; its copying is not counted." };
        foreach (ResultRow r in results.Rows("conv"))
            conv.Add([r.Text("layer"), r.Text("kernel"), $"{r.Threads}", $"{r.Number("density"):0.00}", N(r.Median("forward")), N(r.Median("openblas")), N(r.Median("sparse forward")), N(r.Number("effectiveness")), N(r.Number("effectivenessOverOpenBlas"))]);
        var reorder = new MarkdownTable(["weight x input", "threads", "density", "stored for each kept weight, rows as they stand", "rows brought together", "single ms", "tiles ms", "tiles, rows brought together ms", "times faster than single"], 1) { Caption = "Weights without structure in tiles of four rows (`reorder`), with rows that share columns brought together, beside the product of single weights." };
        foreach (ResultRow r in results.Rows("reorder"))
            reorder.Add([$"{r.Text("weight")}: {r.Number("rows")} x {r.Number("columns")} x {r.Number("n")}", $"{r.Threads}", $"{r.Number("density"):0.00}", N(r.Number("storedInTiles")), N(r.Number("storedBroughtTogether")), N(r.Median("single")), N(r.Median("tiles")), N(r.Median("together")), N(r.Number("speedUp"))], r.Row);

        string where(ResultRow r) => $"{r.Text("shape")}, {(1 - r.Number("density")) * 100:0} %, {Threads(r.Threads)}";
        // One column is a product with one vector: it has its own section.
        Aim at(string text, double bound, Func<string, bool> kernel)
        {
            ResultRow[] rows = [.. spmm.Where(r => kernel(r.Text("kernel")) && r.Number("density") is > 0.03 and < 0.22 && r.Number("n") > 1)];
            return Both(new Aim(text, bound, rows.Select(r => (where(r), r.Number("effectiveness"), r.End("speedUp") * r.Number("density")))), rows);
        }
        ResultRow[] even = [.. spmm.Where(r => r.Text("kernel") == "unstructured" && Math.Abs(r.Number("density") - 0.45) < 0.02 && r.Number("n") > 1)];
        return new Section("sparse", "2. Sparse matrix times dense matrix",
        [
            at("unstructured, 80 to 95 % zeros: e at least 0.5", 0.5, k => k == "unstructured"),
            at("the same: e of 0.7 (target)", 0.7, k => k == "unstructured"),
            at("blocks of 4x1, 8x1, 16x1: e at least 0.7", 0.7, k => k.EndsWith("blocks", StringComparison.Ordinal)),
            at("the same: e of 0.85 (target)", 0.85, k => k.EndsWith("blocks", StringComparison.Ordinal)),
            at("N of M consecutive inputs kept, 80 to 95 % zeros: e at least 0.5", 0.5, k => k.Contains(':', StringComparison.Ordinal)),
            Both(new Aim("unstructured breaks even at 55 % zeros: speed-up there at least 1", 1, even.Select(r => (where(r), r.Number("speedUp"), r.End("speedUp")))), even),
        ], [table, conv, reorder]);
    }

    private static Section Networks(Results results)
    {
        ResultRow[] rows = [.. results.Rows("networks")];
        string[] names = ["dense", "dense, channels removed", "sparse", "onnxruntime", "pytorch"];
        var table = new MarkdownTable(["network, batch 1", "threads", "M multiply-adds", "of them left", .. names.Select(n => n + " ms"), "sparse / dense", "sparse / its dense twin without the channels", "sparse / ONNX Runtime", "sparse / PyTorch", "dense / ONNX Runtime", "largest deviation, of the largest output"], 1) { Caption = "Whole networks (`networks`); a ratio is a multiple of the other's speed." };
        foreach (ResultRow r in rows)
        {
            double deviation = r.Variants.Max(v => (double?)v["deviationOfLargest"] ?? (double?)v["largestDeviation"] / r.Number("largestOutput") ?? 0);
            table.Add([r.Text("network"), $"{r.Threads}", N(r.Number("macs") / 1e6), N(r.Number("effectiveMacs") / 1e6), .. names.Select(n => N(r.Median(n))), N(Ratio(r, "sparse to dense")), N(Ratio(r, "sparse to dense, channels removed")), N(Ratio(r, "sparse to onnxruntime")), N(Ratio(r, "sparse to pytorch")), N(Ratio(r, "dense to onnxruntime")), $"{deviation:0.#e+0}"], r.Row);
        }
        Aim aim(string text, string label, double bound)
        {
            ResultRow[] of = [.. rows.Where(r => r.Text("network") == label)];
            return Both(new Aim(text, bound, of.Select(r => (Threads(r.Threads), r.Number("speeds.sparse to onnxruntime"), r.End("speeds.sparse to onnxruntime")))), of);
        }
        return new Section("networks", "3. Whole networks against ONNX Runtime's dense model",
        [
            aim("ResNet-50, 90 % unstructured: at least 3x", "ResNet-50, 90 % unstructured", 3),
            aim("ResNet-50, 95 % unstructured: at least 5x", "ResNet-50, 95 % unstructured", 5),
            aim("MobileNet-v1, 90 %: at least 2x", "MobileNet-v1, 90 % unstructured", 2),
            aim("ResNet-20-wide, 90 %: at least 3x", "ResNet-20-wide, 90 % unstructured", 3),
            aim("MLP 784-2048-2048-10, 90 %, batch 1: at least 5x", "MLP 784-2048-2048-10, 90 % unstructured", 5),
        ], [table]);
    }

    private static Section Decode(Results results)
    {
        // What was measured before there were parts is of the first one.
        ResultRow[] all = [.. results.Rows("gemv")], rows = [.. all.Where(r => r.Text("part") != "columns")], skipping = [.. all.Where(r => r.Text("part") == "columns")];
        var columns = new MarkdownTable(["matrix", "threads", "zeros in the vector", "dense ms", "ms", "speed-up", "1 / density", "reached"], 1) { Caption = "Columns beside zeros of the vector skipped, single precision (`gemv --parts columns`)." };
        foreach (ResultRow r in skipping)
        {
            columns.Add([$"{r.Number("rows")} x {r.Number("columns")}", $"{r.Threads}", $"{1 - r.Number("inputDensity"):0.00}", N(r.Number("dense.medianMs")), N(r.Number("time.medianMs")), N(r.Number("speedUp")), N(1 / r.Number("inputDensity")), Share(r.Number("reached"))], r.Row);
        }
        var table = new MarkdownTable(["matrix", "values", "threads", "form", "density", "MB", "ms", "GB/s", "of reading", "speed-up", "ceiling", "reached"], 2) { Caption = "Matrix times vector from memory (`gemv`): speed-up over our dense product of the same type beside the ceiling in bytes of the bit-mask; rates beside a loop that only reads." };
        foreach (ResultRow r in rows)
        {
            double reached = r.Number("speedUp") / r.Number("ceiling");
            table.Add([$"{r.Number("rows")} x {r.Number("columns")}", r.Text("values"), $"{r.Threads}", r.Text("form"), $"{r.Number("density"):0.00}", N(r.Number("bytes") / 1e6), N(r.Number("time.medianMs")), N(r.Number("gigabytesPerSecond")),
                Share(r.Number("gigabytesPerSecond") / r.Number("readingGigabytesPerSecond")), N(r.Number("speedUp")), N(r.Number("ceiling")), r.Number("density") == 1 ? "" : Share(reached)], r.Row);
        }
        ResultRow[] models = [.. results.Rows("decode")], ours = [.. models.Where(r => r.Text("engine") == "sparseland")];
        var tokens = new MarkdownTable(["model", "values", "threads", "density", "kernel", "MB a token", "ms", "tokens/s", "x our dense", "x llama.cpp", "deviation of logits"], 2) { Caption = "A Llama model of drawn weights, token by token (`decode`); dim, hidden, layers, heads, vocabulary." };
        foreach (ResultRow r in models)
        {
            bool peer = r.Text("engine") != "sparseland";
            tokens.Add([r.Text("model"), peer ? $"llama.cpp {r.Text("values")}" : r.Text("values"), $"{r.Threads}", peer ? "" : $"{r.Number("density"):0.00}", peer ? "" : r.Text("kernel"), N(r.Number("bytes") / 1e6), N(r.Number("time.medianMs")),
                N(r.Number("tokensPerSecond")), peer ? "" : N(r.Number("speedUp")), peer ? "" : N(r.Number("speedOfPeer")), peer ? "" : N(r.Number("deviation"))], r.Row);
        }
        string where(ResultRow r) => $"{r.Number("rows")} x {r.Number("columns")} {r.Text("values")}, {(1 - r.Number("density")) * 100:0} %, {Threads(r.Threads)}";
        ResultRow[] sparse = [.. rows.Where(r => r.Number("density") is > 0.08 and < 0.55)], full = [.. rows.Where(r => r.Number("density") == 1 && r.Text("values").StartsWith("int", StringComparison.Ordinal))];
        ResultRow[] llama = [.. ours.Where(r => r.Number("density") == 1 && r.Text("values").StartsWith("int", StringComparison.Ordinal))], inputs = [.. skipping.Where(r => r.Number("inputDensity") < 0.95)];
        double reachedOf(ResultRow r) => r.Number("speedUp") / r.Number("ceiling");
        // A dense product that computes longer than its bytes take makes a sparse one look good: then the twin is one that reads at 0.9 of the loop.
        double beside(ResultRow r)
        {
            ResultRow? twin = rows.FirstOrDefault(d => d.Number("density") == 1 && d.Threads == r.Threads && d.Text("values") == r.Text("values") && d.Number("rows") == r.Number("rows") && d.Number("columns") == r.Number("columns"));
            return twin is null ? double.NaN : reachedOf(r) * Math.Min(1, twin.Number("gigabytesPerSecond") / (0.9 * twin.Number("readingGigabytesPerSecond")));
        }
        const string bytes = "of the byte ceiling of the bit-mask";
        return new Section("decode", "4. Matrix times vector (decode)",
        [
            Both(new Aim($"50 to 90 % zeros, the faster of bit-mask and windows: at least 80 % {bytes}", 0.8, sparse.GroupBy(where).Select(g => (g.Key, g.Max(reachedOf)))), sparse),
            Both(new Aim($"the bit-mask alone: at least 80 % {bytes}", 0.8, sparse.Where(r => r.Text("form") == "bit-mask").Select(r => (where(r), reachedOf(r)))), sparse),
            Both(new Aim("the faster of both, int4, beside a dense product that reads at 0.9 of the loop where ours is slower: at least 80 %", 0.8, sparse.Where(r => r.Text("values") == "int4").GroupBy(where).Select(g => (g.Key, g.Max(beside)))), sparse),
            Both(new Aim("dense int8 and int4: at least 0.9 of a loop that only reads", 0.9, full.Select(r => (where(r), r.Number("gigabytesPerSecond") / r.Number("readingGigabytesPerSecond")))), full),
            Both(new Aim("a model in dense int8 or int4: at least 0.9x llama.cpp (q8_0, q4_0; other weights, results not compared)", 0.9, llama.Select(r => ($"{r.Text("values")}, {r.Text("model")}, {Threads(r.Threads)}", r.Number("speedOfPeer"), r.End("speedOfPeer")))), llama),
            Both(new Aim("columns beside zeros skipped, 50 to 90 % zeros in the vector: at least 85 % of 1 / density", 0.85, inputs.Select(r => ($"{r.Number("rows")} x {r.Number("columns")}, {(1 - r.Number("inputDensity")) * 100:0} %, {Threads(r.Threads)}", r.Number("reached")))), inputs),
        ], [table, columns, tokens]);
    }

    private static Section Training(Results results)
    {
        ResultRow[] rows = [.. results.Rows("train-step")];
        var table = new MarkdownTable(["network", "batch", "threads", "removed", "our step ms", "with exchanges", "PyTorch's dense step ms", "of its speed", "with exchanges", "PyTorch's variant", "gradients differ by"], 1) { Caption = "Training steps (`train-step`): forward, loss, backward, optimizer." };
        var bytes = new MarkdownTable(["network", "removed", "weights MiB", "gradients MiB", "moments MiB", "the three MiB", "structure MiB", "all MiB", "peak of an exchange MiB"], 1) { Caption = "Memory of the same steps: weights, gradients and moments; structure is what sparse kernels prepared beside them. At the peak of an exchange every masked layer has a dense gradient." };
        double sparsity(ResultRow r) => double.IsFinite(r.Number("sparsity")) ? r.Number("sparsity") : 0;
        // Files from before variants of PyTorch took turns have one, and no name of the fastest.
        string peer(ResultRow r) => r.Text("peer") is { Length: > 0 } named ? named : (string?)r.Variant("pytorch")?["name"] ?? "";
        string name(ResultRow r) => $"{r.Text("model")}{(double.IsFinite(r.Number("width")) ? $", width {r.Number("width")}" : "")}";
        foreach (ResultRow r in rows)
        {
            string ours = r.Variants.Select(v => (string?)v["name"] ?? "").FirstOrDefault(n => !n.StartsWith("pytorch", StringComparison.Ordinal), "");
            table.Add([name(r), $"{r.Number("batch")}", $"{r.Threads}", $"{sparsity(r):P0}", N(r.Median(ours)), sparsity(r) == 0 ? "" : N(r.Number("stepWithExchangesMs")), N(r.Median(peer(r))), N(r.Number("speedOfPeer")), sparsity(r) == 0 ? "" : N(r.Number("speedOfPeerWithExchanges")), peer(r), N(r.Number("deviation.gradient"))], r.Row["variants"]);
            string mebibytes(params string[] what) => N(what.Sum(w => r.Number("bytes." + w)) / (1 << 20));
            bytes.Add([name(r), $"{sparsity(r):P0}", mebibytes("weights"), mebibytes("gradients"), mebibytes("moments"), mebibytes("weights", "gradients", "moments"), mebibytes("structure"), mebibytes("all"), mebibytes("allInExchange")]);
        }
        var overhead = new MarkdownTable(["method", "batch", "removed", "ms with", "ms without", "overhead", "95 % interval", "dense step ms", "over dense", "95 % interval"], 1)
        {
            Caption = "What a method adds to a step (`pruning-overhead`, a small convolutional network, stretches of 100 steps in turn): overhead is over the same steps at fixed masks, over dense that over steps of the network without masks; once: what it takes before the first step.",
        };
        ResultRow[] methods = [.. results.Rows("pruning-overhead")];
        // Both compute the gradient of every weight in every step; BiP makes a second pass and reports what it costs.
        bool learnsScores(ResultRow r) => r.Text("method") is "jackpots" or "bip";
        foreach (ResultRow r in methods)
        {
            bool once = double.IsFinite(r.Number("steps"));
            overhead.Add([r.Text("method"), $"{r.Number("batch")}", $"{r.Number("sparsity"):P0}", once ? $"{N(r.Number("once.medianMs"))}, once" : N(r.Number("msWith")), N(once ? r.Number("denseStep.medianMs") : r.Number("msWithout")),
                once ? $"{N(r.Number("steps"))} steps" : percent("overhead"), once ? "" : $"{100 * r.Number("low"):0.0} to {percent("high")}",
                N(r.Number("msDense")), percent("overDense"), double.IsFinite(r.Number("overDense")) ? $"{100 * r.Number("overDenseLow"):0.0} to {percent("overDenseHigh")}" : ""]);
            string percent(string number) => double.IsFinite(r.Number(number)) ? $"{100 * r.Number(number):0.0} %" : "";
        }
        IEnumerable<(string, double, double)> at(double p) => rows.Where(r => Math.Abs(sparsity(r) - p) < 1e-3).Select(r =>
        {
            string speed = p > 0 && double.IsFinite(r.Number("speedOfPeerWithExchanges")) ? "speedOfPeerWithExchanges" : "speedOfPeer";
            return ($"{name(r)}, {Threads(r.Threads)}", r.Number(speed), r.End(speed));
        });
        return new Section("training", "5. Training with true sparsity",
        [
            new Aim("dense step: level with PyTorch 1.13", 1, at(0)),
            new Aim("step at 90 %: at least 3x PyTorch's dense step", 3, at(0.9)),
            new Aim("step at 95 %: at least 5x PyTorch's dense step", 5, at(0.95)),
            new Aim("a method during training: at most 5 % of a step (scores that are learned from dense gradients apart)", 5,
                methods.Where(r => !learnsScores(r) && double.IsFinite(r.Number("overhead"))).Select(r => ($"{r.Text("method")}, in %", 100 * r.Number("overhead"), 100 * r.Number("high"))), AtMost: true),
            new Aim("jackpots, which by its definition computes dense gradients: at most 5 % over a dense step", 5,
                methods.Where(r => r.Text("method") == "jackpots" && double.IsFinite(r.Number("overDense"))).Select(r => ($"{100 * r.Number("overhead"):0} % over steps at fixed masks", 100 * r.Number("overDense"), 100 * r.Number("overDenseHigh"))), AtMost: true),
        ], [table, bytes, overhead]);
    }

    private static Section Attention(Results results)
    {
        ResultRow[] rows = [.. results.Rows("attention")];
        var table = new MarkdownTable(["tokens", "pass", "variant", "threads", "ms", "x our dense", "x PyTorch"], 3) { Caption = "Attention (`attention`)." };
        string pass(ResultRow r) => (bool?)r.Row["backward"] == true ? "forward + backward" : "forward";
        foreach (ResultRow r in rows)
        {
            foreach (JsonObject v in r.Variants)
                table.Add([$"{r.Number("tokens")}", pass(r), (string)v["name"]!, $"{r.Threads}", N((double)v["medianMs"]!), N(ResultRow.Median(v["speedOfDense"])), N(ResultRow.Median(v["speedOfPeer"]))], v);
        }
        IEnumerable<(string, double, double)> of(Func<string, bool> variant, string speed) => rows.SelectMany(r => r.Variants.Where(v => variant((string)v["name"]!)).Select(v => ($"{v["name"]}, {r.Number("tokens")} tokens, {pass(r)}, {Threads(r.Threads)}", ResultRow.Median(v[speed]), (double?)(v[speed] as JsonObject)?["low"] ?? double.NaN)));
        return new Section("attention", "6. Attention",
        [
            Both(new Aim("75 % of the blocks empty: at least 3x our dense attention", 3, of(n => n.StartsWith("blocks", StringComparison.Ordinal) && n.Contains("75", StringComparison.Ordinal), "speedOfDense")), rows),
            Both(new Aim("75 % of the tokens dropped: at least 3x our dense attention", 3, of(n => n.StartsWith("tokens", StringComparison.Ordinal) && n.Contains("75", StringComparison.Ordinal), "speedOfDense")), rows),
            Both(new Aim("dense: at least 0.8x PyTorch", 0.8, of(n => n == "dense", "speedOfPeer")), rows),
        ], [table]);
    }

    private static Section NeverSlower(Results results)
    {
        ResultRow[] networks = [.. results.Rows("networks").Where(r => r.Number("channels") == 0 && r.Number("sparsity") > 0)], rows = [.. results.Rows("never-slower")];
        IEnumerable<(string, double, double)> plans = networks.Select(r => ($"{r.Text("network")}, {Threads(r.Threads)}", r.Number("speeds.sparse to dense"), r.End("speeds.sparse to dense")));
        var table = new MarkdownTable(["layer", "threads", "kernel", "best kernel", "dense ms", "planned ms", "best ms", "x dense", "x best"], 1) { Caption = "Drawn layers (`never-slower`), slowest plans first: the planned kernel beside the dense twin and the best of all kernels that can compute the layer; a ratio is a multiple of the other's speed." };
        foreach (ResultRow r in rows.OrderBy(r => Ratio(r, "planned to dense")))
            table.Add([r.Text("layer"), $"{r.Threads}", r.Text("kernel"), r.Text("bestKernel"), N(r.Median("dense")), N(r.Median("planned")), N(r.Median("best")), N(Ratio(r, "planned to dense")), N(Ratio(r, "planned to best"))], r.Row);
        // Two sessions with one kernel are as far apart as noise is.
        IEnumerable<(string, double, double)> beside(string speed) => rows.Select(r => ($"{r.Text("layer")}, {Threads(r.Threads)}", Ratio(r, speed), r.End("speeds." + speed)));
        return new Section("never-slower", "7. Never slower than the dense twin",
        [
            Both(new Aim("a sparse plan of the networks above beside its dense plan: at least 1x", 1, plans), networks),
            Both(new Aim("plans of drawn layers beside their dense twins: at least 0.95x, which is within noise", 0.95, beside("planned to dense")), rows),
            Both(new Aim("the same beside the best of all kernels: at least 0.9x, which is within noise", 0.9, beside("planned to best")), rows),
        ], [table]);
    }

    private static Section Scaling(Results results)
    {
        ResultRow[] rows = [.. results.Rows("scaling")];
        var lines = new MarkdownTable(["weight x input", "threads", "ps per multiply-add", "fixed ms", "fixed, of dense", "largest residual", "R2"], 1) { Caption = "Time = fixed + slope x non-zeros, 50 to 99 % zeros (`scaling`)." };
        foreach (ResultRow r in rows.Where(r => r.Text("part") == "lines"))
            lines.Add([$"{r.Text("what")}: {r.Number("rows")} x {r.Number("columns")} x {r.Number("n")}", $"{r.Threads}", N(r.Number("picosecondsPerMultiplyAdd")), N(r.Number("fixedMs")), Share(r.Number("fixedShareOfDense")), Share(r.Number("largestResidual")), $"{r.Number("rSquared"):0.0000}"], r.Row);
        var threads = new MarkdownTable(["network", "M multiply-adds", "1 thread, ms", "all threads, ms", "speed-up"], 1) { Caption = "One thread and all." };
        ResultRow[] pairs = [.. rows.Where(r => r.Text("part") == "threads")];
        foreach (ResultRow r in pairs) threads.Add([r.Text("what"), N(r.Number("effectiveMacs") / 1e6), N(r.Median("1 thread")), N(r.Median($"{r.Number("threads")} threads")), N(r.Number("speedUp"))], r.Row);
        var growth = new MarkdownTable(["ten times", "threads", "ms", "ms, ten times the work", "cost"], 1) { Caption = "Ten times the work." };
        ResultRow[] grown = [.. rows.Where(r => r.Text("part") == "growth")];
        foreach (ResultRow r in grown) growth.Add([r.Text("what"), $"{r.Threads}", N(r.Median("one")), N(r.Median("ten")), N(r.Number("cost"))], r.Row);
        ResultRow[] fitted = [.. rows.Where(r => r.Text("part") == "lines")];
        return new Section("scaling", "8. Scaling",
        [
            Both(new Aim("time against non-zeros is a line: R2 at least 0.99", 0.99, fitted.Select(r => ($"{r.Text("what")}, {Threads(r.Threads)}", r.Number("rSquared")))), fitted),
            Both(new Aim("and every time is near it: the largest residual at most 10 %", 10, fitted.Select(r => ($"{r.Text("what")}, {Threads(r.Threads)}, in %", 100 * r.Number("largestResidual"))), AtMost: true), fitted),
            new Aim("two threads on networks above 50 MFLOP: at least 1.8x", 1.8, pairs.Where(r => r.Number("effectiveMacs") > 25e6).Select(r => (r.Text("what"), r.Number("speedUp"), r.End("speedUp")))),
            Both(new Aim("ten times the work: at most 10.5x", 10.5, grown.Select(r => ($"{r.Text("what")}, {Threads(r.Threads)}", r.Number("cost"), r.End("cost", "high"))), AtMost: true), grown),
        ], [lines, threads, growth]);
    }

    private static Section Files(Results results)
    {
        ResultRow[] rows = [.. results.Rows("files")];
        var table = new MarkdownTable(["model", "file", "bytes", "allowed", "load ms"], 2) { Caption = "Compact files (`files`): bytes beside the bound of 1.05 x (weights x (1 + density x bits of a value) / 8) and a header, and the time until a model is loaded." };
        foreach (ResultRow r in rows) table.Add([r.Text("model"), r.Text("what"), $"{r.Number("bytes"):N0}", double.IsFinite(r.Number("allowed")) ? $"{r.Number("allowed"):N0}" : "", N(r.Median("load"))]);
        return new Section("files", "9. Size on disk",
        [
            new Aim("compact files, every pattern and type of value: bytes at most the bound (share of it)", 1, rows.Where(r => double.IsFinite(r.Number("allowed"))).Select(r => ($"{r.Text("model")}, {r.Text("what")}", r.Number("bytes") / r.Number("allowed"))), AtMost: true),
            new Aim("loading a compact file: milliseconds, at most 10", 10, rows.Where(r => double.IsFinite(r.Number("allowed")) && double.IsFinite(r.Median("load"))).Select(r => (r.Text("model"), r.Median("load"))), AtMost: true),
        ], [table]);
    }

    private static Section Turns(Results results)
    {
        var table = new MarkdownTable(["figure", "row", "variant", "commit before", "commit after", "before ms", "after ms", "times as fast", "interval", "by least times"], 5) { Caption = "One figure by two builds, in turn (`turns`): what changes of code made faster and slower. A variant that both builds share, as a peer, tells how much is noise." };
        foreach (ResultRow r in results.Rows(TurnsCommand.FigureName))
        {
            // The figure stands behind the options of the turns; a median of few turns has no interval.
            string figure = ((string?)r.Document["command"] ?? "").Split(" -- ", 2)[^1], interval = r.Number("repetitions") < TurnsCommand.EnoughTurns ? "" : $"{N(r.End("speedUp"))} to {N(r.End("speedUp", "high"))}";
            table.Add([$"`{figure}`", r.Text("row"), r.Text("variant"), (string?)r.Document["before"] ?? "", (string?)r.Document["commit"] ?? "", N(r.Number("beforeMs")), N(r.Number("afterMs")), N(r.Number("speedUp")), interval, N(r.Number("leastSpeedUp"))]);
        }
        return new Section("turns", "Builds in turn", [], [table]);
    }

    private static double Ratio(ResultRow row, string name) => row.Row["speeds"]?[name] is JsonObject ratio ? (double?)ratio["median"] ?? double.NaN : double.NaN;
}
