using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using Sparseland.Model.Architectures;
using Sparseland.Model.Formats;

namespace Sparseland.Cli.Tests.Verbs;

/// <summary>Limits that are met in the middle of the work: a file system that fills up, a process that grows.</summary>
public sealed class LimitTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [SkippableTheory]
    [InlineData("x.onnx")]
    [InlineData("x.sparse.safetensors")]
    public async Task A_disk_that_fills_up_while_a_model_is_written_leaves_the_old_file_and_nothing_else(string name)
    {
        ModelFile.Save(ArchitectureCatalog.Get("resnet20").Build(), _folder["m.onnx"]);
        // 300 KB of disk; the model needs 1.1 MB.
        ProcessResult result = await OnSmallDiskAsync(300, $"echo precious > disk/{name}; $SPARSELAND convert m.onnx -o disk/{name} --force; echo rc $?; ls -A disk; cat disk/{name}");
        Assert.Equal($"rc 6\n{name}\nprecious\n", result.Output);
        Assert.Contains("error SL1003", result.Error, StringComparison.Ordinal);
        Assert.Contains("No space left", result.Error, StringComparison.Ordinal);
        Assert.Contains("  try ", result.Error, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task A_disk_that_fills_up_while_training_ends_the_run_which_goes_on_when_there_is_room()
    {
        const string Line = "$SPARSELAND train small-cnn --data shapes --steps 60 --batch 128 --quiet --no-progress";
        // 500 KB are left: enough for the start of the run folder, not for the first checkpoint (step 50) of 150,000 weights and their moments.
        ProcessResult result = await OnSmallDiskAsync(20_000, $"head -c 19960000 /dev/zero > disk/fill; {Line} --run-dir disk/run > /dev/null; echo rc $?; ls -A disk/run/checkpoints; rm disk/fill; " +
            $"{Line} --run-dir disk/run --resume > /dev/null; echo rc $?; {Line} --run-dir whole > /dev/null; cmp whole/model.sparse.safetensors disk/run/model.sparse.safetensors && echo same");
        Assert.Equal("rc 6\nrc 0\nsame\n", result.Output);
        Assert.Contains("error SL1003", result.Error, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task A_largest_file_size_is_a_full_disk_too()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "limits of a process are set with ulimit");
        ModelFile.Save(ArchitectureCatalog.Get("resnet20").Build(), _folder["m.onnx"]);
        Directory.CreateDirectory(_folder["disk"]);
        // The runtime itself makes a large file for its code unless it is told not to.
        ProcessResult result = await ShellAsync("trap '' XFSZ; ulimit -f 300; DOTNET_EnableWriteXorExecute=0 $SPARSELAND convert m.onnx -o disk/x.onnx; echo rc $?; ls -A disk");
        Assert.Equal("rc 6\n", result.Output);
        Assert.Contains("error SL1003", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_process_that_grows_beyond_its_memory_limit_stops_with_a_state_to_go_on_from()
    {
        string[] line = ["train", "small-cnn", "--data", "shapes", "--epochs", "1000", "--run-dir", _folder["run"]];
        // Enough to start with, a little above what is told to be needed (first for data, then for training), and too little for what data and pools grow to on any machine.
        int limit = 1;
        ProcessResult stopped = await SparselandProcess.RunAsync([.. line, "--memory-limit", $"{limit}MB"]);
        while (Regex.Match(stopped.Error, "would need about ([0-9]+) MB") is { Success: true } need && int.Parse(need.Groups[1].Value, CultureInfo.InvariantCulture) is var megabytes && megabytes > limit)
        {
            limit = megabytes + 6;
            stopped = await SparselandProcess.RunAsync([.. line, "--memory-limit", $"{limit}MB"]);
        }
        Assert.True(stopped.ExitCode == 6, $"exit {stopped.ExitCode}: {stopped.Error}");
        Assert.Contains("SL5006", stopped.Error, StringComparison.Ordinal);
        Assert.Contains("was reached", stopped.Error, StringComparison.Ordinal);
        Assert.Contains("--resume", stopped.Error, StringComparison.Ordinal);
        Assert.True(File.Exists(Path.Combine(_folder["run"], "checkpoints", "latest.safetensors")));
        Assert.False(File.Exists(Path.Combine(_folder["run"], "model.onnx")));
        ProcessResult resumed = await SparselandProcess.RunAsync([.. line, "--resume", "--time-limit", "3s"]);
        Assert.Contains("resumed at step", resumed.Output, StringComparison.Ordinal);
        Assert.Contains("SL5005", resumed.Error, StringComparison.Ordinal);
    }

    // A file system in memory of its own, which no rights are needed for where user namespaces are allowed.
    private async Task<ProcessResult> OnSmallDiskAsync(int kilobytes, string script)
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "small file systems are mounted with Linux' namespaces");
        Directory.CreateDirectory(_folder["disk"]);
        ProcessResult probe = await ShellAsync("unshare --user --map-root-user --mount bash -c 'mount -t tmpfs tmpfs disk && echo mounted'");
        Skip.IfNot(probe.Output == "mounted\n", "this system lets nobody mount a small file system: " + probe.Error);
        return await ShellAsync($"unshare --user --map-root-user --mount bash -c 'mount -t tmpfs -o size={kilobytes}k tmpfs disk; {script}'");
    }

    private async Task<ProcessResult> ShellAsync(string script)
    {
        var start = new ProcessStartInfo("bash", ["-c", script]) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = _folder.Path };
        start.Environment["SPARSELAND"] = "dotnet " + Path.Combine(AppContext.BaseDirectory, "sparseland.dll");
        using Process process = Process.Start(start)!;
        return await SparselandProcess.FinishAsync(process, 120);
    }
}
