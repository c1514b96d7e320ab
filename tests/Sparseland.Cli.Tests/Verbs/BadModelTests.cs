namespace Sparseland.Cli.Tests.Verbs;

public sealed class BadModelTests
{
    [Theory]
    [InlineData("pickle.pt", "SL1302")]
    [InlineData("header.safetensors", "SL1201")]
    [InlineData("cut.safetensors", "SL1201")]
    [InlineData("bomb.npz", "SL14")]
    [InlineData("cut.npz", "SL14")]
    [InlineData("cut.onnx", "SL1101")]
    [InlineData("empty.onnx", "SL1002")]
    [InlineData("overflow.onnx", "SL1103")]
    [InlineData("cycle.onnx", "SL1109")]
    [InlineData("float8.onnx", "SL1105")]
    [InlineData("short.onnx", "SL1104")]
    [InlineData("llama.bin", "SL1")]
    [InlineData("model.gguf", "SL1002")]
    public async Task Verbs_refuse_it_with_exit_3_and_leave_nothing(string name, string code)
    {
        using var folder = new TemporaryFolder();
        string path = folder[name], proof = folder["proof"];
        Write(path, proof);
        string[] before = Directory.GetFileSystemEntries(folder.Path);
        foreach (string[] verb in (string[][])[["inspect", path], ["evaluate", path, "--data", "shapes"], ["convert", path, "-o", folder["out.onnx"]]])
        {
            ProcessResult result = await CommandLine.FailsAsync(3, code, verb);
            Assert.Contains(name, result.Error, StringComparison.Ordinal);
        }
        Assert.Equal(before, Directory.GetFileSystemEntries(folder.Path));
    }

    [Theory]
    [InlineData(92681, 46341, 46340)]
    [InlineData(int.MaxValue, int.MaxValue, int.MaxValue)]
    [InlineData((1L << 32) + 1, 1, 0)]
    public async Task A_convolution_beyond_32_bits_is_named_and_never_run(long dilation, long before, long after)
    {
        using var folder = new TemporaryFolder();
        string path = folder["m.onnx"], input = folder["x.npy"];
        HostileFiles.Convolution(path, dilation, before, after);
        Sparseland.Model.Formats.Numpy.NpyWriter.Write(input, Sparseland.Model.Graph.TensorData.Wrap(new float[64], 1, 64, 1, 1));
        foreach (string[] verb in (string[][])[["bench", path, "--seconds", "0"], ["run", path, "--input", input]])
        {
            ProcessResult result = await CommandLine.FailsAsync(3, "SL2", verb);
            Assert.Contains("far", result.Error, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task An_unknown_operator_can_be_inspected_and_is_named_when_it_would_have_to_run()
    {
        using var folder = new TemporaryFolder();
        string path = folder["m.onnx"];
        HostileFiles.Onnx(path, [("Relu", "first", ["x"], "a"), ("Frobnicate", "strange", ["a"], "b"), ("Relu", "last", ["b"], "y")]);
        ProcessResult inspected = await CommandLine.RunAsync("inspect", path);
        Assert.Equal(0, inspected.ExitCode);
        Assert.Contains("Frobnicate", inspected.Output, StringComparison.Ordinal);
        string input = folder["x.npy"];
        Sparseland.Model.Formats.Numpy.NpyWriter.Write(input, Sparseland.Model.Graph.TensorData.Vector(new float[4]));
        foreach (string[] verb in (string[][])[["bench", path, "--seconds", "0"], ["run", path, "--input", input]])
        {
            ProcessResult result = await CommandLine.FailsAsync(3, "SL2001", verb);
            Assert.Contains("Frobnicate", result.Error, StringComparison.Ordinal);
            Assert.Contains("strange", result.Error, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_plan_says_with_a_code_why_nothing_beside_an_unknown_operator_can_be_cut()
    {
        using var folder = new TemporaryFolder();
        string path = folder["m.onnx"];
        HostileFiles.Onnx(path, [("MatMul", "first", ["x", "w"], "a"), ("Frobnicate", "strange", ["a"], "y")], [4, 4], bytes: 64);
        ProcessResult plan = await CommandLine.RunAsync("plan", path, "--macs", "50%");
        Assert.Equal(4, plan.ExitCode);
        Assert.Contains("SL2101", plan.Output, StringComparison.Ordinal);
        Assert.Contains("Frobnicate", plan.Output, StringComparison.Ordinal);
    }

    private static void Write(string path, string proof)
    {
        switch (Path.GetFileName(path))
        {
            case "pickle.pt": HostileFiles.Pickle(path, "touch " + proof); break;
            case "header.safetensors": HostileFiles.Safetensors(path); break;
            case "cut.safetensors": File.WriteAllBytes(path, [40, 0, 0, 0, 0, 0, 0, 0, (byte)'{']); break;
            case "bomb.npz": HostileFiles.Bomb(path); break;
            case "cut.npz":
                HostileFiles.Bomb(path);
                Cut(path);
                break;
            case "cut.onnx":
                HostileFiles.Onnx(path, [("Relu", "a", ["x"], "y")]);
                Cut(path);
                break;
            case "empty.onnx": File.WriteAllBytes(path, []); break;
            case "overflow.onnx": HostileFiles.Onnx(path, [("Add", "a", ["x", "w"], "y")], [1L << 31, 1L << 31, 16]); break;
            case "cycle.onnx": HostileFiles.Onnx(path, [("Add", "a", ["x", "c"], "b"), ("Relu", "b", ["b"], "c")]); break;
            case "float8.onnx": HostileFiles.Onnx(path, [("Relu", "a", ["x"], "y")], type: 17); break;
            case "short.onnx": HostileFiles.Onnx(path, [("Add", "a", ["x", "w"], "y")], bytes: 12); break;
            case "llama.bin": File.WriteAllBytes(path, [.. Enumerable.Repeat((byte)0x7f, 28)]); break;
            default: File.WriteAllBytes(path, [.. "GGUF"u8, 3, 0, 0, 0, 0, 0, 0, 0]); break;
        }
    }

    private static void Cut(string path)
    {
        byte[] whole = File.ReadAllBytes(path);
        File.WriteAllBytes(path, whole[..(whole.Length / 2)]);
    }
}
